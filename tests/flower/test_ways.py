"""Apps of many kinds with the real Flower: their rounds, models and notices."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from panal.api.history import read as read_history
from panal.api.progress import Progress
from reporting import ConfigMap, reporting

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]


@dataclass
class Ended:
    code: int
    reason: str
    message: str
    progress: Progress
    files: dict[str, bytes] = field(repr=False)
    run: Pods = field(repr=False)

    def model(self, name: str = "model.safetensors") -> dict[str, Any]:
        path = self.run.folder / "kept.safetensors"
        path.write_bytes(self.files[name])
        return load_file(path)

    def metadata(self) -> dict[str, Any]:
        return json.loads(self.files["metadata.json"])


def ended(pods: Make, app: str, mode: str, sites: int = 2, **settings: Any) -> Ended:
    run = pods(rounds=3, min_clients=2, **settings)
    config_map = ConfigMap()
    with reporting(run, config_map) as folder:
        run.start_all(run.app(app, mode=mode), sites)
        code, message = run.termination()
    files = {str(f.relative_to(folder)): f.read_bytes() for f in Path(folder).rglob("*") if f.is_file()}
    return Ended(code, message["reason"], message["message"], config_map.progress, files, run)


@pytest.mark.parametrize(("mode", "rounds"), [("loop", 3), pytest.param("loop-groups", 3, marks=pytest.mark.versions), ("push", 2)])
def test_rounds_of_an_apps_main_loop_are_derived_from_its_messages(pods: Make, mode: str, rounds: int) -> None:
    found = ended(pods, "ways", mode)
    assert (found.code, found.reason) == (0, "Completed"), found
    progress = found.progress
    assert (progress.rounds_completed, progress.replies, progress.failures) == (rounds, 2, 0)
    assert progress.result == ("Metrics" if mode == "push" else "Files")
    assert progress.collaborators["site1"].round == rounds
    assert progress.collaborators["site2"].metrics["loss"] == 0.5
    assert ("accuracy" in progress.collaborators["site1"].metrics) == (mode != "push")
    assert progress.collaborators["site1"].seconds is not None
    own = set() if mode == "push" else {"metadata.json", "files/own.npz"}  # it saves its model itself
    assert set(found.files) == own | {"history.jsonl"}
    assert [row.round for row in read_history(found.files["history.jsonl"]).rounds] == list(range(1, rounds + 1))


def test_a_query_completes_without_a_model_unless_it_is_required(pods: Make) -> None:
    found = ended(pods, "ways", "query")
    assert (found.code, found.progress.rounds_completed, found.progress.result) == (0, 1, "Metrics"), found
    assert found.progress.collaborators["site1"].metrics == {"num-examples": 10, "count": 7, "mean": 2.5}
    assert "no model" in found.message


@pytest.mark.versions
def test_a_model_that_spec_result_requires_must_exist(pods: Make) -> None:
    found = ended(pods, "ways", "query", PANAL_RESULT="Model")
    assert (found.code, found.reason) == (1, "ModelMissing")


def test_an_apps_own_start_is_observed_and_may_stop_early(pods: Make) -> None:
    found = ended(pods, "ways", "own-start")
    assert (found.code, found.progress.rounds_completed, found.progress.rounds_total) == (0, 2, 3), found
    assert found.progress.metrics == {"loss": 0.5}
    assert found.model()["w"].tolist() == [2.0] * 4
    assert found.progress.model is not None
    assert found.progress.model.round == 2


@pytest.mark.versions
def test_a_start_that_calls_flowers_own_is_one_start(pods: Make) -> None:
    found = ended(pods, "ways", "calling")
    assert (found.code, found.progress.rounds_completed) == (0, 3), found
    assert "rounds [1, 2, 3]" in found.run.log("superlink")
    assert sorted(found.files) == ["metadata.json", "model.safetensors"]


def test_each_call_of_start_keeps_its_rounds_and_its_model(pods: Make) -> None:
    found = ended(pods, "ways", "two-models")
    assert (found.code, found.progress.rounds_completed) == (0, 4), found
    assert "generator 2.0" in found.run.log("superlink")
    assert found.model()["critic"].tolist() == [2.0] * 4
    kept = {n: next(iter(found.model(f"start-{n}/model.safetensors").items())) for n in (1, 2, 3)}
    assert {n: (name, array[0]) for n, (name, array) in kept.items()} == {1: ("generator", 1), 2: ("critic", 1), 3: ("generator", 2)}
    assert found.metadata()["start"] == 4
    assert "models of 3 earlier calls of start" in found.message


def test_failed_messages_are_sent_again_unchanged(pods: Make) -> None:
    found = ended(pods, "ways", "schedule")
    assert (found.code, found.progress.rounds_completed) == (0, 3), found
    rates = [line.partition("lr ")[2] for line in found.run.log("superlink").splitlines() if "lr " in line and "round" in line]
    assert rates == ["1.0", "0.5", "0.25"]  # configured once per round, although site2 failed in round 2
    assert found.model()["w"].tolist() == [1.75] * 4
    assert [r["failures"] for r in found.run.records() if r.get("phase") == "train"] == [0, 1, 0, 0]


def test_a_non_finite_metric_is_shown_in_its_round(pods: Make) -> None:
    found = ended(pods, "ways", "diverges")
    assert (found.code, found.progress.metrics) == (0, {"loss": "NaN"}), found
    assert found.metadata()["rounds"]["train"] == {"1": {"loss": 0.5}, "2": {"loss": "NaN"}, "3": {"loss": "NaN"}}
    assert found.progress.notices == {"ModelSuspect": "w with NaN or infinity"}
    assert np.isnan(found.model()["w"]).all()


@pytest.mark.versions
def test_a_metric_that_a_round_does_not_report_is_not_shown_with_an_older_value(pods: Make) -> None:
    found = ended(pods, "ways", "stale")
    assert (found.code, found.progress.metrics) == (0, {"loss": 0.5}), found
    assert found.metadata()["rounds"]["server"]["1"] == {"judged": 1.0}


def test_types_that_cannot_be_stored_are_named_before_round_1(pods: Make) -> None:
    found = ended(pods, "ways", "complex")
    assert (found.code, found.reason) == (1, "ArraysNotStorable")
    assert "fourier (complex64)" in found.message
    assert not found.run.record(event="round", phase="train")


@pytest.mark.versions
@pytest.mark.parametrize(
    ("mode", "notice", "words"),
    [
        ("grows", "ModelChanged", "w float32 → float64: the model's size goes from 16 to 32 bytes"),
        ("variance", "ModelSuspect", "norm.running_var with a negative variance"),
        ("first-only", "NotAggregated", "FirstOnly returned no arrays in rounds 2, 3; the model is that of round 1"),
    ],
)
def test_problems_of_a_model_are_notices(pods: Make, mode: str, notice: str, words: str) -> None:
    found = ended(pods, "ways", mode)
    assert (found.code, found.progress.notices) == (0, {notice: words}), found
    assert found.progress.model is not None
    assert found.progress.model.round == (1 if mode == "first-only" else 3)


@pytest.mark.versions
@pytest.mark.parametrize(("mode", "name"), [("nothing", "Nothing"), ("bulyan", "Bulyan")])
def test_a_strategy_that_returns_nothing_is_named(pods: Make, mode: str, name: str) -> None:
    found = ended(pods, "ways", mode)
    assert (found.code, found.reason) == (1, "ModelMissing")
    assert f"{name} returned no arrays in any of its 3 rounds" in found.message


@pytest.mark.versions
def test_differential_privacy_around_a_strategy(pods: Make) -> None:
    found = ended(pods, "ways", "private")
    assert (found.code, found.progress.rounds_completed) == (0, 3), found
    assert found.model()["w"].shape == (4,)


@pytest.mark.versions
def test_vertical_learning_keeps_parts_of_the_model_at_the_sites(pods: Make) -> None:
    found = ended(pods, "ways", "vertical")
    assert (found.code, found.progress.rounds_completed, found.progress.result) == (0, 3, "Metrics"), found
    losses = [float(line.rpartition(" ")[2]) for line in found.run.log("superlink").splitlines() if "loss" in line]
    assert losses == [7.5, 1.25, 1.25]  # what the sites have learned stays in their state
    assert [r["failures"] for r in found.run.records() if r.get("failures")] == []  # replies that the app does not poll for are no failures


@pytest.mark.versions
def test_a_mod_keeps_a_state_between_rounds(pods: Make) -> None:
    found = ended(pods, "ways", "mods")
    assert (found.code, found.progress.metrics) == (0, {"loss": 0.5, "calls": 3.0}), found


@pytest.mark.versions
def test_trees_are_stored_as_a_file_of_the_library(pods: Make) -> None:
    found = ended(pods, "ways", "trees")
    assert (found.code, found.progress.rounds_completed) == (0, 3), found
    kept = json.loads(found.files["model.json"])["learner"]["gradient_booster"]["model"]
    assert len(kept["trees"]) == 8  # of 18: all of the first reply, and one of each later one
    assert found.progress.notices == {"TreesLost": "round 3: 4 of the 6 trees that the sites sent are not in the model"}


def test_an_app_that_fails_after_its_training_keeps_its_model(pods: Make) -> None:
    found = ended(pods, "ways", "fails-after")
    assert (found.code, found.reason) == (1, "ServerAppFailed")
    assert "final_model.npz" in found.message
    assert found.model()["w"].tolist() == [3.0] * 4
    assert found.progress.model is not None


def test_an_app_that_waits_for_missing_nodes_ends_with_a_reason(pods: Make) -> None:
    found = ended(pods, "ways", "waits", PANAL_QUORUM_TIMEOUT="8")
    assert (found.code, found.reason) == (1, "QuorumNotReached")
    assert "the app waits for 5 nodes, 2 are there" in found.message
    assert found.run.record(event="waiting", message="the app waits for 5 nodes, 2 are there")


@pytest.mark.parametrize("mode", [pytest.param("server-fn", marks=pytest.mark.versions), "secagg"])
def test_the_older_interface_is_observed_and_its_model_stored(pods: Make, mode: str) -> None:
    found = ended(pods, "legacy", mode, sites=3)
    assert (found.code, found.reason) == (0, "Completed"), found
    progress = found.progress
    assert (progress.rounds_completed, progress.rounds_total, progress.replies) == (3, 3, 3)
    assert progress.metrics["loss"] == 0.25
    assert progress.metrics["accuracy"] == 0.75
    assert [round(float(x), 2) for x in next(iter(found.model().values()))] == [3.0] * 4
    assert found.metadata()["strategy"] == "FedAvg"


def test_secure_aggregation_that_halts_in_every_round_fails(pods: Make) -> None:
    found = ended(pods, "legacy", "secagg-halts", sites=3)
    assert (found.code, found.reason) == (1, "WorkflowHalted")
    assert "3 rounds" in found.message
