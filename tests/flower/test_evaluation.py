"""A model is evaluated at three sites with different data, with real Flower.

The numbers of site N are 10 N. The global model is 20. The model that a site trains alone begins with 0 and moves halfway in each round.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from panal.api.types import EvaluationStatus
from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
SITES = 3
EXAMPLE = Path(__file__).parents[2] / "examples/mnist"


def reporter(run: Pods, **wanted: Any) -> dict[str, str]:
    volume = run.folder / "before"
    if not volume.exists():
        volume.mkdir()
        save_file({"mean": np.array([20.0])}, volume / "model.safetensors")
    initial = {"run": "before", "uri": "pvc://before/model.safetensors", "digest": "", "path": "model.safetensors"}
    return {"PANAL_INITIAL_MODEL": json.dumps(initial), "PANAL_INITIAL_DIR": str(volume), "PANAL_EVALUATION": json.dumps(wanted)}


def participants(run: Pods) -> None:
    """As the controller names them: the evaluation waits for them."""
    (run.run_dir / "participants.json").write_text(json.dumps({"clusters": [f"site{number}" for number in range(1, SITES + 1)]}))


def evaluating(pods: Make, local_rounds: int = 2, min_clients: int = SITES, **settings: str) -> Pods:
    return pods(
        rounds=1,
        min_clients=min_clients,
        PANAL_WARM_START="true",
        PANAL_MODE="Evaluate",
        PANAL_LOCAL_ROUNDS=str(local_rounds),
        **settings,
    )


def ended(run: Pods, app: Path, sites: dict[str, dict[str, str]] | None = None, **wanted: Any) -> tuple[EvaluationStatus, Path, ConfigMap]:
    config_map = ConfigMap()
    with reporting(run, config_map, **reporter(run, **wanted)) as folder:
        participants(run)
        run.start_superlink()
        run.announce(app)
        for number in range(1, SITES + 1):
            run.start_site(f"site{number}", (sites or {}).get(f"site{number}"))
        code, message = run.termination()
        assert (code, message["reason"]) == (0, "Completed"), f"{message}\n{run.log('superlink')[-3000:]}"
    status = config_map.progress.evaluation
    assert status is not None
    return status, folder, config_map


@pytest.mark.versions
def test_each_site_compares_the_model_with_the_one_that_it_trains_alone(pods: Make) -> None:
    run = evaluating(pods)
    status, folder, config_map = ended(run, run.app("judges"))
    assert (status.metric, status.goal, status.sites, status.without, status.examples) == ("distance-error", "Minimize", 3, 0, 24)
    assert [(r.cluster, r.examples, r.global_model["distance-error"], r.local_model["distance-error"]) for r in status.table] == [
        ("site1", 4, 10.0, 2.5),  # alone, 7.5 after two rounds
        ("site3", 12, 10.0, 7.5),
        ("site2", 8, 0.0, 5.0),
    ]
    assert [r.difference for r in status.table] == [7.5, 2.5, -5.0]
    assert (status.worst_site, status.worst, status.spread, status.better, status.compared) == ("site1", 10.0, 10.0, 1, 3)
    assert status.weighted_mean == pytest.approx((4 * 10 + 8 * 0 + 12 * 10) / 24)
    assert status.standard_deviation == pytest.approx(math.sqrt(200 / 9))
    content = (folder / "evaluation.json").read_bytes()
    assert status.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert status.uri == "pvc://models/out/team/digits/u-1/evaluation.json"
    document = json.loads(content)
    assert document["model"]["uri"] == "pvc://before/model.safetensors"
    assert document["table"][1]["globalModel"] == {"distance-error": 0.0, "near": 1.0}
    assert document["table"][1]["difference"] == {"distance-error": -5.0, "near": 0.0}
    assert not (folder / "model.safetensors").exists()
    progress = config_map.progress
    assert (progress.rounds_completed, progress.rounds_total, progress.result) == (3, 3, "Metrics")
    assert progress.metrics["distance-error"] == pytest.approx(160 / 24)
    assert {name: round_of.metrics for name, round_of in progress.collaborators.items()}["site1"] == {
        "local distance-error": 2.5, "local near": 1.0, "local num-examples": 4,
    }  # fmt: skip
    assert progress.metrics["local distance-error"] == pytest.approx((4 * 2.5 + 8 * 5 + 12 * 7.5) / 24)
    assert [r["phase"] for r in run.records() if r["event"] == "round"] == [
        "evaluate", "end", "train", "end", "train", "evaluate-local", "end",
    ]  # fmt: skip
    assert "result [20.0]" in run.log("superlink")


def test_without_local_models_there_is_one_round(pods: Make) -> None:
    run = evaluating(pods, local_rounds=0)
    status, _, config_map = ended(run, run.app("judges"), localRounds=0, metric="near")
    assert (status.metric, status.goal, status.sites, status.compared, status.better) == ("near", "Maximize", 3, 0, 0)
    assert (status.worst_site, status.spread) == ("", 0.0) or status.worst == 1.0
    assert config_map.progress.rounds_total == 1


def test_a_site_with_too_few_examples_sends_no_number(pods: Make) -> None:
    run = evaluating(pods, min_clients=2)
    app = run.app("judges")
    data = run.folder / "data"
    (data / ".panal").mkdir(parents=True)
    (data / ".panal/policy.json").write_text('{"minimumExamples": 5}')
    sites = {"site1": {"PANAL_DATA_PATH": str(data), "PANAL_MINIMUM_EXAMPLES": "2"}, "site2": {"PANAL_MINIMUM_EXAMPLES": "8"}}
    status, folder, config_map = ended(run, app, sites)
    assert (status.sites, status.without, status.compared) == (2, 1, 2)
    assert (status.table[0].cluster, status.table[0].examples, status.table[0].reason) == ("site1", None, "TooFewExamples")
    assert config_map.progress.collaborators["site1"].reason == "TooFewExamples"
    assert not config_map.progress.collaborators["site1"].message
    row = json.loads((folder / "evaluation.json").read_text())["table"][0]
    assert (row["globalModel"], row["localModel"], row["examples"]) == ({}, {}, None)
    assert "fewer than 5 examples" in run.log("site1")


@pytest.mark.parametrize(
    ("mode", "reason", "words"),
    [
        ("nan-at-site2", "MetricNotFinite", {"near": 1.0}),
        ("lies-at-site2", "WeightInvalid", {}),
        ("dies-at-site2", "KilledBySIGKILL", {}),
    ],
)
def test_a_site_without_a_value_is_named_first(pods: Make, mode: str, reason: str, words: dict[str, float]) -> None:
    run = evaluating(pods, min_clients=2)
    status, *_ = ended(run, run.app("judges", mode=mode))
    assert (status.sites, status.without) == (2, 1)
    assert (status.table[0].cluster, status.table[0].reason, status.table[0].global_model) == ("site2", reason, words)
    assert (status.worst_site, status.worst) == ("site1", 10.0)


def test_a_failed_training_costs_only_the_comparison(pods: Make) -> None:
    run = evaluating(pods)
    status, *_ = ended(run, run.app("judges", mode="training-fails-at-site2"))
    assert (status.sites, status.without, status.compared, status.better) == (3, 0, 2, 0)
    assert [(r.cluster, r.reason) for r in status.table] == [("site1", ""), ("site3", ""), ("site2", "ValueError")]


def test_fewer_sites_than_the_quorum_end_the_run(pods: Make) -> None:
    run = evaluating(pods)
    config_map = ConfigMap()
    with reporting(run, config_map, **reporter(run)) as folder:
        participants(run)
        run.start_all(run.app("judges", mode="dies-at-site2"), SITES)
        code, message = run.termination()
    assert (code, message["reason"]) == (1, "QuorumLost"), message
    assert message["message"] == "2 of 3 sites have evaluated the model, 3 needed (KilledBySIGKILL)"
    assert config_map.progress.evaluation is None
    assert not (folder / "evaluation.json").exists()


def test_after_a_crash_the_evaluation_begins_again(pods: Make) -> None:
    run = evaluating(pods)
    go = run.folder / "go"
    app = run.app("judges", wait=str(go))
    with reporting(run, ConfigMap(), **reporter(run)):
        run.start_all(app, SITES)
        eventually(lambda: run.record(event="started"), "the evaluation")
        run.lose_aggregator()
    go.touch()
    config_map = ConfigMap()
    with reporting(run, config_map, **reporter(run)):
        run.start_superlink()
        run.announce(app)
        assert run.termination()[0] == 0, run.log("superlink")[-3000:]
    status = config_map.progress.evaluation
    assert status is not None
    assert (status.sites, status.better, status.compared) == (3, 1, 3)


@pytest.mark.parametrize(("app", "mode"), [("ways", "loop"), ("legacy", "server-fn")])
def test_an_app_without_a_start_cannot_be_evaluated(pods: Make, app: str, mode: str) -> None:
    run = evaluating(pods)
    with reporting(run, ConfigMap(), **reporter(run)):
        run.start_all(run.app(app, mode=mode), SITES)
        code, message = run.termination()
    assert (code, message["reason"]) == (1, "InitialModelUnusable"), message


def test_the_digits_of_the_example_at_each_cluster(pods: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of five rounds of averaging, and each cluster trains alone as often. On its own mixture of digits a cluster is about as good
    alone, which a test on pooled digits does not show."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from mnist_app import model as net
    from mnist_app.data import load
    from split import split

    run = evaluating(pods, local_rounds=5)
    digits = run.folder / "digits"
    split(digits)
    sites = {f"site{n}": digits / f"cluster{n}" for n in (1, 2, 3)}
    parts = [load(folder / "train.npz") for folder in sites.values()]
    model = net.initial()
    for number in range(1, 6):
        trained = [net.train(model, x, y, 3, 0.05, 1000 * number + len(y)) for x, y in parts]
        total = sum(len(y) for _, y in parts)
        model = {name: sum(t[name] * (len(y) / total) for t, (_, y) in zip(trained, parts)).astype(np.float32) for name in model}
    (run.folder / "before").mkdir()
    save_file(model, run.folder / "before/model.safetensors")
    shutil.copytree(EXAMPLE, run.folder / "app", ignore=shutil.ignore_patterns("__pycache__", "notebooks", "hub", "*.npz"))
    env = {name: {"PANAL_DATA_PATH": str(folder), "OMP_NUM_THREADS": "1"} for name, folder in sites.items()}
    status, *_ = ended(run, run.folder / "app", env)
    assert (status.metric, status.goal, status.sites, status.examples) == ("accuracy", "Maximize", 3, 1500)
    assert status.weighted_mean is not None
    assert status.weighted_mean > 0.93
    assert status.worst is not None
    assert status.worst > 0.9
    assert status.compared == 3
    assert all(abs(row.difference or 0) < 0.03 for row in status.table)
