"""The MNIST example without Flower: the data is divided unequally, and federated averaging comes close to central training."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/mnist"
ROUNDS, EPOCHS, RATE = 5, 3, 0.05  # as pyproject.toml of the example says


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    sys.path.insert(0, str(EXAMPLE))
    from split import split

    folder = tmp_path_factory.mktemp("digits")
    split(folder)
    yield folder
    sys.path.remove(str(EXAMPLE))


def test_every_cluster_sees_mostly_its_own_digits_and_none_sees_the_test(data: Path) -> None:
    from split import OWN

    digits = {name: np.load(data / name / "train.npz") for name in OWN}
    for name, own in OWN.items():
        assert 0.75 < np.isin(digits[name]["y"], own).mean() < 0.85
        assert set(digits[name]["y"]) == set(range(10))
    test = np.load(data / "test.npz")
    assert len(test["y"]) == 1500
    assert sum(len(d["y"]) for d in digits.values()) + len(test["y"]) == 8000
    rows = [row.tobytes() for d in (*digits.values(), test) for row in d["x"]]
    whole = np.load(EXAMPLE / "mnist8k.npz")["x"]
    assert sorted(rows) == sorted(row.tobytes() for row in whole)  # every digit once, so none is in two places


def test_what_the_clusters_hold_out_is_the_test_in_other_shares(data: Path) -> None:
    from split import OWN

    held_out = {name: np.load(data / name / "held-out.npz") for name in OWN}
    for name, own in OWN.items():
        assert 0.75 < np.isin(held_out[name]["y"], own).mean() < 0.85
    test = np.load(data / "test.npz")["x"]
    assert sorted(row.tobytes() for d in held_out.values() for row in d["x"]) == sorted(row.tobytes() for row in test)


def test_federated_is_close_to_central_and_better_than_any_cluster_alone(data: Path) -> None:
    from compare import accuracies, central
    from mnist_app import model as net
    from mnist_app.data import load

    sites = [load(data / f"cluster{n}" / "train.npz") for n in (1, 2, 3)]
    weights = np.array([len(labels) for _, labels in sites]) / sum(len(labels) for _, labels in sites)

    def average(models: list[net.Model]) -> net.Model:
        return {name: sum(w * m[name] for w, m in zip(weights, models, strict=True)).astype(np.float32) for name in models[0]}

    model = net.initial()
    for number in range(1, ROUNDS + 1):
        model = average([net.train(model, x, y, EPOCHS, RATE, 1000 * number + len(y)) for x, y in sites])
    federated = accuracies(model, data)[0]
    alone = [accuracies(net.train(net.initial(), x, y, ROUNDS * EPOCHS, RATE, 1), data)[0] for x, y in sites]
    assert federated >= 0.93
    assert federated >= accuracies(central(data, ROUNDS * EPOCHS, RATE), data)[0] - 0.03
    assert max(alone) < federated - 0.03
