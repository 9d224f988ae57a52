"""Checkpoints of a job: what is stored after a round is what the next job begins with, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panal.pod.tools.flare.checkpoints import Checkpoints, StateLostError, rounds_done
from panal.pod.tools.flare.journal import Journal
from panal.pod.tools.flare.state import NotExactError, decoded, encoded


class Task(dict[str, Any]):
    def set_header(self, name: str, value: Any) -> None:
        self[name] = value

    def get_header(self, name: str) -> Any:
        return self.get(name)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("PANAL_ROUNDS", "5")
    (tmp_path / "resumed.json").write_text('{"round": 0}')
    return tmp_path


def restore(run: Path, round_: int) -> None:
    """The reporter's part."""
    shutil.move(run / "checkpoints" / str(round_), run / "resume")
    (run / "resumed.json").write_text(json.dumps({"round": round_}))


def records(run: Path) -> list[dict[str, Any]]:
    file = run / "progress.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_value_is_restored_with_its_types_and_bits() -> None:
    value = {
        "none": None, "flag": True, "count": 3, "loss": 0.1 + 0.2, "nan": float("nan"), "name": "ä", "list": [1, {"a": -0.0}],
        "w": np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)), "zero": np.array(2.5), "scalar": np.float32(0.1),
        "b": np.array([True]),
    }  # fmt: skip
    arrays: list[tuple[str, Any]] = []
    found = decoded(json.loads(json.dumps(encoded(value, arrays))), dict(arrays))
    assert list(found) == list(value)
    assert repr(found) == repr(value)
    assert [(type(each), getattr(each, "dtype", None)) for each in found.values()] == [
        (type(each), getattr(each, "dtype", None)) for each in value.values()
    ]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"w": {"x": object()}}, "model.w.x is of the type builtins.object"),
        ({"w": (1, 2)}, "model.w is of the type builtins.tuple"),
        ({1: 2}, "model is of the type builtins.dict"),
        ({"w": np.array([None])}, "model.w is of the type numpy.ndarray"),
        ([[1, 1j]], "model.0.1 is of the type builtins.complex"),
    ],
)
def test_a_value_that_cannot_be_restored_is_named(value: Any, named: str) -> None:
    with pytest.raises(NotExactError, match=named):
        encoded(value, [])


def test_a_job_goes_on_with_the_model_the_metrics_and_the_rounds(run: Path) -> None:
    first, journal = Checkpoints(2, 0), Journal()
    model = {"weights": {"w": np.zeros(2)}, "meta": {}}
    first.loaded(model, journal)
    first.begins()
    first.write(0, model, None, journal)
    trained = {"weights": {"w": np.array([0.1, 0.2]), "c": np.float64(1.5)}, "meta": {"nr_aggregated": 2}}
    journal.completed, journal.history = 1, {"train": {1: {"loss": 0.5}}}
    first.write(1, trained, {"loss": np.float32(0.5)}, journal)
    assert [each["event"] for each in records(run)] == ["checkpoint"]
    restore(run, 1)

    second, journal = Checkpoints(2, 1), Journal()
    second.loaded(model, journal)
    second.begins()
    assert model["weights"]["w"].tobytes() == trained["weights"]["w"].tobytes()
    assert type(model["weights"]["c"]) is np.float64
    assert model["meta"] == {"initial_metrics": {"loss": np.float32(0.5)}, "nr_aggregated": 2}
    assert (journal.completed, journal.history) == (1, {"train": {1: {"loss": 0.5}}})
    assert records(run)[-1] == {"event": "resumed", "round": 1, "time": records(run)[-1]["time"]}
    second.write(1, model, None, journal)  # it is stored already
    assert not (run / "checkpoints/1").exists()
    task = Task(num_rounds=4, start_round=3, current_round=3)
    second.sent(task)
    assert task == {"num_rounds": 5, "start_round": 2, "current_round": 3}


def test_a_checkpoint_of_another_job_is_not_used(run: Path) -> None:
    assert rounds_done("sum") == 0
    Checkpoints(0, 0, "sum").write(3, {"weights": {}, "meta": {}}, None, Journal())
    restore(run, 3)
    assert [rounds_done(app) for app in ("sum", "other")] == [3, 0]


def test_a_model_that_is_not_of_numpy_is_named_before_the_first_round(run: Path) -> None:
    found, journal = Checkpoints(0, 0), Journal()
    found.loaded({"weights": {"w": object()}, "meta": {}}, journal)
    found.write(1, {"weights": {"w": np.zeros(1)}, "meta": {}}, None, journal)
    notice = records(run)[0]
    assert [each["event"] for each in records(run)] == ["notice"]
    assert (notice["kind"], "weights.w is of the type builtins.object" in notice["message"]) == ("NotResumable", True)


def test_a_job_that_cannot_go_on_has_no_checkpoints(run: Path) -> None:
    found, journal = Checkpoints(None, 0), Journal()
    model = {"weights": {"w": np.zeros(1)}, "meta": {}}
    found.loaded(model, journal)
    found.begins()
    found.write(1, model, None, journal)
    assert records(run) == []


def test_a_state_that_cannot_be_restored_is_lost(run: Path) -> None:
    model: dict[str, Any] = {"weights": {}, "meta": {}}
    with pytest.raises(StateLostError, match="the workflow has not loaded its model"):
        Checkpoints(0, 1).begins()
    with pytest.raises(StateLostError, match="there is no checkpoint of round 1"):
        Checkpoints(0, 1).loaded(model, Journal())
    Checkpoints(0, 0).write(1, {"weights": {"w": np.zeros(1)}, "meta": {}}, None, Journal())
    (run / "checkpoints/1/model.json").write_text('{"arrays": [], "model": {"dict": {"weights": {"array": 7}}}}')
    restore(run, 1)
    with pytest.raises(StateLostError, match="KeyError"):
        Checkpoints(0, 1).loaded(model, Journal())
