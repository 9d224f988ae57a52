"""examples/health: the hospitals differ as stated, share no patient, and one's own coding is read at its site."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest

from .conftest import check_gradients

EXAMPLE = "health"
CLUSTERS = ("cluster1", "cluster2", "cluster3", "cluster4")


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_patient_is_at_one_hospital_and_either_trained_on_or_held_out(data, module):
    split = module("split")
    for cluster in CLUSTERS:
        parts = [tuple(row.values()) for name in ("patients.csv", "held-out.csv") for row in rows(data / cluster / name)]
        assert Counter(parts) == Counter(tuple(row.values()) for row in split.patients(cluster))
        assert len(rows(data / cluster / "held-out.csv")) == pytest.approx(0.4 * len(parts), abs=1)
    assert sum(len(split.patients(cluster)) for cluster in CLUSTERS) == len(rows(split.SOURCE)) == 920


def test_the_share_of_the_ill_differs_and_is_the_same_in_what_is_held_out(data, module):
    load = module("health_app.data").load
    for cluster, ill in zip(CLUSTERS, (0.46, 0.36, 0.93, 0.74), strict=True):
        for name in ("patients.csv", "held-out.csv"):
            assert load(data / cluster / name)[1].mean() == pytest.approx(ill, abs=0.02)


def test_a_site_with_another_coding_reads_its_cholesterol_in_the_common_one(data, module):
    app = module("health_app.data")
    chol, unmeasured = app.FEATURES.index("chol"), app.FEATURES.index("chol not measured")
    centre, scale, *_ = app.MEASURED["chol"]
    recorded = np.array([float(row["chol"] or 0) for row in rows(data / "cluster4/patients.csv")])
    assert recorded.max() < 20  # mmol/l
    x, _ = app.load(data / "cluster4/patients.csv")
    read = x[:, chol] * scale + centre
    assert (x[:, unmeasured] == (recorded == 0)).all()
    assert read[recorded > 0] == pytest.approx(recorded[recorded > 0] * 38.67, rel=1e-3)
    assert read[recorded == 0] == pytest.approx(centre)
    assert (app.load(data / "cluster3/patients.csv")[0][:, unmeasured] == 1).all()


def test_a_site_whose_coding_is_unknown_fails_and_says_which_variable(data, module, tmp_path):
    app = module("health_app.data")
    file = tmp_path / "patients.csv"
    file.write_text((data / "cluster4/patients.csv").read_text())
    (tmp_path / "coding.json").write_text(json.dumps({"chol": {"missing": 0}, "trestbps": {"missing": 0}}))
    with pytest.raises(ValueError, match=r"chol: the median is 6\.\d, and plausible are 100 to 500.*coding\.json"):
        app.load(file)
    (tmp_path / "coding.json").write_text(json.dumps({"cholesterol": {"factor": 38.67}}))
    with pytest.raises(ValueError, match=r"coding\.json names cholesterol"):
        app.load(file)
    file.write_text("age,sex\n40,1\n")
    with pytest.raises(ValueError, match=r"patients\.csv .* lacks the columns trestbps"):
        app.load(file)


def test_the_gradients_are_those_of_the_loss(data, module):
    net, app = module("health_app.model"), module("health_app.data")
    x, y = app.load(data / "cluster1/patients.csv")
    x = x.astype(float)
    rng = np.random.default_rng(1)
    model = {name: rng.standard_normal(array.shape) for name, array in net.initial().items()}

    def penalized(model):
        score = x @ model["weight"] + model["bias"]
        return float(np.logaddexp(0, np.where(y == 1, -score, score)).mean() + net.DECAY / 2 * (model["weight"] ** 2).sum())

    check_gradients(penalized, model, net.gradients(model, x, y))


def test_auc_counts_pairs(module):
    net = module("health_app.model")
    rng = np.random.default_rng(2)
    scores, y = rng.integers(0, 6, 50), rng.integers(0, 2, 50)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[y == 1] for b in scores[y == 0]]
    assert net.auc(scores, y) == pytest.approx(np.mean(pairs))
