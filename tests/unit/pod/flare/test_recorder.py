"""What the recorder makes of the events of FLARE's server, whose modules are replaced."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

RECORDER = "panal.pod.tools.flare.recorder"


class Names(type):
    """A class whose attributes are their own names, as FLARE's constants are nearly."""

    def __getattr__(cls, name: str) -> str:
        return name


class Constants(metaclass=Names):
    pass


class FLComponent:
    """FLARE's."""


REPLACED = {
    "nvflare.apis.event_type": {"EventType": Constants},
    "nvflare.apis.fl_component": {"FLComponent": FLComponent},
    "nvflare.apis.fl_constant": {"FLContextKey": Constants, "EventScope": Constants},
    "nvflare.app_common.app_constant": {"AppConstants": Constants},
    "nvflare.app_common.app_event_type": {"AppEventType": Constants},
    "nvflare.app_common.utils.fl_model_utils": {"FLModelUtils": Constants},
}


class Context(dict[str, Any]):
    """FLARE's context of an event from or for `site`."""

    def get_prop(self, name: str, default: Any = None) -> Any:
        return self.get(name, default)

    def get_peer_context(self) -> Any:
        return SimpleNamespace(get_identity_name=lambda: "site1")

    def get_run_abort_signal(self) -> Any:
        return SimpleNamespace(triggered=self.get("aborted", False))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    for name, content in REPLACED.items():
        for part in (name[:at] for at, each in enumerate(name) if each == "."):
            monkeypatch.setitem(sys.modules, part, ModuleType(part))
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    yield importlib.import_module(RECORDER)
    sys.modules.pop(RECORDER)


@pytest.fixture
def fire(module: ModuleType) -> Callable[..., None]:
    return events_of(module.Recorder())


def events_of(recorder: Any) -> Callable[..., None]:
    return lambda event, **props: recorder.handle_event(event, Context(props))


def records(folder: Path) -> list[dict[str, Any]]:
    file = folder / "progress.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def train(fire: Callable[..., None], number: int, **props: Any) -> None:
    """One round in which site1 replies."""
    result = SimpleNamespace(get_return_code=lambda: "OK")
    task = {"TASK_ID": f"task-{number}", "TASK_NAME": "train", "TASK_RESULT": result}
    fire("ROUND_STARTED", CURRENT_ROUND=number, START_ROUND=0, **props)
    for event in ("AFTER_TASK_DATA_FILTER", "BEFORE_PROCESS_SUBMISSION", "AFTER_PROCESS_SUBMISSION"):
        fire(event, **task)


def test_events_of_a_site_are_ignored(fire: Callable[..., None], tmp_path: Path) -> None:
    train(fire, 0)
    for event in ("ROUND_STARTED", "FATAL_SYSTEM_ERROR", "ABOUT_TO_END_RUN", "END_RUN"):
        fire(event, EVENT_SCOPE="FEDERATION")
    assert records(tmp_path) == []


def test_a_model_that_cannot_be_read_ends_the_run_with_the_reason(fire: Callable[..., None], tmp_path: Path) -> None:
    class Weight:
        def detach(self) -> None:
            raise ValueError("it is on no device")

    train(fire, 0)
    fire("ABOUT_TO_END_RUN", GLOBAL_MODEL={"weights": {"w": Weight()}})
    last = records(tmp_path)[-1]
    message = "The model cannot be handed over: ValueError: it is on no device"
    assert (last["event"], last["reason"], last["message"]) == ("stopped", "ArraysNotStorable", message)


@pytest.mark.parametrize("how", ["failed", "aborted"])
def test_a_model_is_that_of_the_last_complete_round(fire: Callable[..., None], tmp_path: Path, how: str) -> None:
    import numpy as np

    for number in (0, 1):
        train(fire, number)
    if how == "failed":
        fire("FATAL_SYSTEM_ERROR", EVENT_DATA="too few results")
    fire("ABOUT_TO_END_RUN", GLOBAL_MODEL={"weights": {"w": np.zeros(2, np.float32)}}, aborted=how == "aborted")
    ready = [each for each in records(tmp_path) if each["event"] == "model"]
    assert [each["round"] for each in ready] == [1]


def test_there_is_no_model_before_a_round_is_complete(fire: Callable[..., None], tmp_path: Path) -> None:
    train(fire, 0)
    fire("FATAL_SYSTEM_ERROR", EVENT_DATA="too few results")
    fire("ABOUT_TO_END_RUN", GLOBAL_MODEL={"weights": {"w": [0.0]}})
    assert [each["event"] for each in records(tmp_path)] == ["stopped", "round"]


def test_each_round_has_a_checkpoint_after_its_records(module: ModuleType, tmp_path: Path) -> None:
    import numpy as np

    fire, model = events_of(module.Recorder(first=0)), {"weights": {"w": np.zeros(2)}, "meta": {}}
    fire("INITIAL_MODEL_LOADED", GLOBAL_MODEL=model)
    for number in (0, 1):
        train(fire, number, GLOBAL_MODEL=model)
    fire("ABOUT_TO_END_RUN", GLOBAL_MODEL=model)
    found = [(each["event"], each["round"], each.get("phase")) for each in records(tmp_path)]
    of_rounds = [[("round", n, "train"), ("round", n, "end"), ("checkpoint", n, None)] for n in (1, 2)]
    assert found == [*of_rounds[0], *of_rounds[1], ("model", 2, None)]


def test_a_state_that_is_lost_ends_the_job_and_the_next_one_starts_again(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "resumed.json").write_text('{"round": 0}')
    done: list[str] = []
    monkeypatch.setattr(module.checkpoint, "reset", lambda: done.append("reset"))
    recorder = module.Recorder(first=0, done=2)
    recorder.system_panic = lambda reason, _: done.append(reason)
    events_of(recorder)("INITIAL_MODEL_LOADED", GLOBAL_MODEL={"weights": {}, "meta": {}})
    message = "The state of the run cannot be restored: there is no checkpoint of round 2"
    assert done == ["reset", message]
    assert [(each["event"], each["reason"], each["message"]) for each in records(tmp_path)] == [("stopped", "StateLost", message)]
