"""Runs whose aggregator is lost, with real Flower: they go on with the next round, and give the result of an uninterrupted run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
SITES, ROUNDS, HELD = 3, 5, 4  # clients wait in round HELD until they may go on


def go(run: Pods) -> Path:
    return run.folder / "go"


def result(run: Pods) -> str:
    """What the server app has printed as its result."""
    return str(
        eventually(lambda: next((line for line in run.log("superlink").splitlines() if line.startswith("result ")), ""), "the result")
    )


def stored(folder: Path) -> tuple[bytes, dict[str, Any]]:
    metadata = json.loads((folder / "metadata.json").read_text())
    return (folder / "model.safetensors").read_bytes(), {key: metadata[key] for key in ("rounds", "clusters", "metrics")}


def checkpoints(folder: Path) -> list[int]:
    return sorted(int(each.name) for each in (folder / "checkpoints").glob("[0-9]*"))


def begin(run: Pods, app: Path) -> None:
    run.start_superlink()
    run.announce(app)


def interrupted(run: Pods, app: Path, *, at: int) -> tuple[str, tuple[bytes, dict[str, Any]]]:
    """The result of a run whose aggregator is killed when the checkpoint of round `at` is stored."""
    with reporting(run, ConfigMap(rounds=str(ROUNDS))) as folder:
        run.start_all(app, SITES)
        eventually(lambda: at in checkpoints(folder), f"the checkpoint of round {at}")
        run.lose_aggregator()
    go(run).touch()
    config_map = ConfigMap(rounds=str(ROUNDS))
    with reporting(run, config_map) as folder:
        begin(run, app)
        code, message = run.termination()
        assert (code, message["reason"]) == (0, "Completed"), f"{message}\n{run.log('superlink')[-3000:]}"
    resumed = run.record(event="resumed")
    assert resumed
    assert at <= resumed["round"] < HELD
    assert [r["round"] for r in run.records() if r.get("phase") == "end"] == list(range(resumed["round"] + 1, ROUNDS + 1))
    assert config_map.progress.rounds_completed == ROUNDS
    assert not (folder / "checkpoints").exists()  # a run with a result needs none
    return result(run), stored(folder)


@pytest.fixture
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, pods: Make) -> Callable[..., tuple[str, tuple[bytes, dict[str, Any]]]]:
    """The result of the same app without an interruption."""

    def run_through(run: Pods, app: Path) -> tuple[str, tuple[bytes, dict[str, Any]]]:
        with reporting(run, ConfigMap(rounds=str(ROUNDS))) as folder:
            run.start_all(app, SITES)
            assert run.termination()[0] == 0, run.log("superlink")[-3000:]
            return result(run), stored(folder)

    def make(app: Path, **more: str) -> tuple[str, tuple[bytes, dict[str, Any]]]:
        run = Pods(tmp_path_factory.mktemp("through"), settings() | more)
        try:
            return run_through(run, app)
        finally:
            run.end()

    return make


def settings() -> dict[str, str]:
    return {"PANAL_ROUNDS": str(ROUNDS), "PANAL_MIN_CLIENTS": str(SITES), "PANAL_QUORUM_TIMEOUT": "120", "PANAL_ROUND_TIMEOUT": "90"}


@pytest.mark.parametrize(
    ("strategy", "clients"),
    [
        pytest.param("FedAvg", "stateless", marks=pytest.mark.versions),
        pytest.param("FedAvgM", "stateless", marks=pytest.mark.versions),
        pytest.param("FedAdam", "stateful", marks=pytest.mark.oldest),
        ("Own", "stateful"),
        ("Part", "stateful"),
    ],
)
def test_a_run_goes_on_after_its_last_checkpoint_bit_for_bit(
    pods: Make, uninterrupted: Callable[..., Any], strategy: str, clients: str
) -> None:
    run = pods(rounds=ROUNDS, min_clients=SITES)
    app = run.app("resumes", strategy=strategy, clients=clients, go=str(go(run)))
    (text, (model, metadata)) = interrupted(run, app, at=2)
    (expected_text, (expected_model, expected_metadata)) = uninterrupted(app)
    assert text == expected_text
    assert model == expected_model
    assert metadata == expected_metadata
    assert not any(record.get("failures") for record in run.records())
    assert not run.record(event="notice")


def test_so_does_a_run_with_a_method_of_aggregation(pods: Make, uninterrupted: Callable[..., Any]) -> None:
    method = {"PANAL_AGGREGATION": "TrimmedMean", "PANAL_BYZANTINE_CLIENTS": "1"}
    run = pods(rounds=ROUNDS, min_clients=SITES, **method)
    app = run.app("resumes", strategy="FedAdam", clients="stateful", go=str(go(run)))
    assert interrupted(run, app, at=2) == uninterrupted(app, **method)
    assert not run.record(event="notice")


def test_a_strategy_that_cannot_be_restored_is_named_before_the_first_round(pods: Make) -> None:
    run = pods(rounds=1, min_clients=1)
    with reporting(run, ConfigMap(rounds="1")) as folder:
        run.start_all(run.app("resumes", strategy="Locked"), 1)
        assert run.termination()[0] == 0
        assert not (folder / "checkpoints").exists()
    notice = run.record(event="notice")
    assert notice
    assert (notice["kind"], notice["message"]) == ("NotResumable", "Locked.lock (lock) cannot be restored")
    kinds = [r["event"] for r in run.records()]
    assert kinds.index("notice") < kinds.index("round")
    assert "checkpoint" not in kinds


def test_a_site_whose_client_state_is_gone_ends_the_attempt_and_the_next_begins_with_the_first_round(pods: Make) -> None:
    run = pods(rounds=ROUNDS, min_clients=1)
    app = run.app("resumes", clients="stateful", go=str(go(run)))
    with reporting(run, ConfigMap(rounds=str(ROUNDS))) as folder:
        run.start_all(app, 1)
        eventually(lambda: 2 in checkpoints(folder), "the checkpoint of round 2")
        run.lose_aggregator()
    go(run).touch()
    run.kill("site1")
    shutil.rmtree(run.folder / "work-site1")
    with reporting(run, ConfigMap(rounds=str(ROUNDS))):
        begin(run, app)
        run.start_site("site1")
        code, message = run.termination()
    assert (code, message["reason"]) == (1, "StateLost")
    assert "is no longer at site1" in message["message"]
    assert checkpoints(folder) == [0]
    run.lose_aggregator()
    with reporting(run, ConfigMap(rounds=str(ROUNDS))):
        begin(run, app)
        assert run.termination()[0] == 0
    assert not run.record(event="resumed")
    assert [r["round"] for r in run.records() if r.get("phase") == "end"] == list(range(1, ROUNDS + 1))


def test_another_app_or_run_config_begins_with_the_first_round(pods: Make) -> None:
    run = pods(rounds=ROUNDS, min_clients=1)
    app = run.app("resumes", go=str(go(run)))
    with reporting(run, ConfigMap(rounds=str(ROUNDS))) as folder:
        run.start_all(app, 1)
        eventually(lambda: 2 in checkpoints(folder), "the checkpoint of round 2")
        run.lose_aggregator()
    go(run).touch()
    run.settings["PANAL_RUN_CONFIG"] = json.dumps({"strategy": "FedAdam"})
    with reporting(run, ConfigMap(rounds=str(ROUNDS))):
        begin(run, app)
        assert run.termination()[0] == 0
    assert not run.record(event="resumed")
    assert "is of another app or run config" in run.log("superlink")
