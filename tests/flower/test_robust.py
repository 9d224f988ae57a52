"""Methods of aggregation and the largest norm of an update, with the real Flower: one poisoned site among honest ones."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from panal.pod.tools.install import install
from reporting import ConfigMap, reporting

from .conftest import Pods, flower_venv

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
AGREEMENT = Path(__file__).parent / "agreement.py"
POISON = 1e6  # what the poisoned site sends in place of a model whose numbers grow by one in each round


def trained(run: Pods, sites: int, **config: object) -> Any:
    """The model of a run of two rounds in which site2 is poisoned."""
    with reporting(run, ConfigMap(rounds="2")) as folder:
        run.start_all(run.app(mode="poisons-at-site2", **config), sites)
        code, message = run.termination()
        assert code == 0, (message, run.log("superlink")[-3000:])
        return load_file(folder / "model.safetensors")


def test_one_poisoned_site_ruins_the_mean(pods: Make) -> None:
    assert trained(pods(rounds=2, min_clients=3), 3)["w"].min() > POISON / 4


@pytest.mark.oldest
def test_the_median_is_not_moved_by_it(pods: Make) -> None:
    run = pods(rounds=2, min_clients=3, PANAL_AGGREGATION="Median", PANAL_BYZANTINE_CLIENTS="1")
    model = trained(run, 3)
    assert model["w"].tolist() == [2.0] * 3
    assert (model["b"].tolist(), str(model["b"].dtype)) == (2, "int64")
    record = run.record(event="round", round=2, phase="train")
    assert record is not None
    assert (record["replies"], record["failures"], record["metrics"]) == (3, 0, {"loss": pytest.approx(7 / 3)})  # the app's average


@pytest.mark.oldest
def test_krum_selects_another_one(pods: Make) -> None:
    run = pods(rounds=2, min_clients=5, PANAL_AGGREGATION="Krum", PANAL_BYZANTINE_CLIENTS="1")
    assert trained(run, 5)["w"].tolist() == [2.0] * 3
    for number in (1, 2):
        record = run.record(event="round", round=number, phase="train")
        assert record is not None
        (chosen,) = record["selected"]
        assert chosen != "site2"
        assert f"Krum with 1 Byzantine client selects {chosen}" in run.log("superlink")


@pytest.mark.oldest
def test_an_update_beyond_the_largest_norm_is_refused_and_its_site_named(pods: Make) -> None:
    run = pods(rounds=2, min_clients=2, PANAL_LARGEST_UPDATE_NORM="10")
    assert trained(run, 3)["w"].tolist() == [2.0] * 3
    for number in (1, 2):
        record = run.record(event="round", round=number, phase="train")
        assert record is not None
        assert record["failed"] == {"site2": "UpdateTooLarge"}
    text = "the norm of its update is 1.732e+06, more than 10 (spec.server.replies.largestUpdateNorm)"
    assert run.record(event="round", round=1, phase="train", messages={"site2": text})
    assert f"reply of site2 is refused: reason=UpdateTooLarge: {text}" in run.log("superlink")


def test_a_round_with_fewer_updates_than_the_method_needs_fails(pods: Make) -> None:
    """The quorum is three, and one site raises: two updates are too few for a median with one Byzantine client."""
    run = pods(rounds=1, min_clients=3, PANAL_AGGREGATION="Median", PANAL_BYZANTINE_CLIENTS="1")
    with reporting(run, ConfigMap()):
        run.start_all(run.app(mode="raises-at-site2"), 3)
        code, message = run.termination()
    assert (code, message["reason"]) == (1, "QuorumLost")
    assert "2 of 3 collaborators sent an update, 3 needed by Median with 1 Byzantine client (ValueError)" in message["message"]


def test_an_app_that_does_not_average_is_refused_before_round_one(pods: Make) -> None:
    run = pods(rounds=1, min_clients=3, PANAL_AGGREGATION="Median", PANAL_BYZANTINE_CLIENTS="1")
    with reporting(run, ConfigMap()):
        run.start_all(run.app(strategy="FedMedian"), 3)
        code, message = run.termination()
    assert (code, message["reason"]) == (1, "AggregationNotPossible")
    assert "spec.server.aggregation.method: Median is not possible: FedMedian does not average updates as FedAvg does" in message["message"]
    assert run.record(event="round") is None


def test_agreement_with_flowers_own_strategies(tmp_path: Path) -> None:
    """Where Flower defines a method in the same way, both give the same arrays; a server optimizer goes on from the method's result."""
    install(tmp_path / "tools")
    env = {"PYTHONPATH": str(tmp_path / "tools"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PANAL_TMP": str(tmp_path)}
    done = subprocess.run([str(flower_venv() / "bin/python"), str(AGREEMENT)], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"agreed": ["FedMedian", "Krum", "MultiKrum", "FedTrimmedAvg", "FedAdam", "FedAvgM"]}
