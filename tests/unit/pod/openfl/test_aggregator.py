"""What the aggregator returns when a round fails, and the model of an earlier one cannot be handed over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.codes import Ending
from panal.pod.tools.files import RunError
from panal.pod.tools.openfl import aggregator as module
from panal.pod.tools.openfl.aggregator import Aggregator
from panal.pod.tools.openfl.rounds import Limits
from panal.pod.tools.openfl.sites import Sites

LOST = RunError(Ending.QUORUM_LOST, "Round 2: 0 of 2 collaborators replied")
UNFIT = RunError(Ending.ARRAYS_NOT_STORABLE, "The model has arrays that safetensors cannot store")


@pytest.fixture
def aggregator(monkeypatch: pytest.MonkeyPatch) -> Any:
    found: Any = Aggregator(SimpleNamespace(final=dict), Sites(), Limits(), completed=1, trained=True)  # type: ignore[arg-type]

    def unfit(*_: Any) -> None:
        raise UNFIT

    monkeypatch.setattr(module, "hand_over", unfit)
    monkeypatch.setattr(module, "append", lambda _: None)
    monkeypatch.setattr(module, "rounds", lambda: 2)
    return found


def test_the_first_failure_of_a_run_wins(aggregator: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def lost(_: Any) -> None:
        raise LOST

    monkeypatch.setattr(Aggregator, "_wait_for_quorum", lost)
    assert aggregator.run(lambda *_: None) is LOST
    assert "the model of round 1 is not handed over: RunError: " in capsys.readouterr().out


def test_a_model_that_cannot_be_stored_fails_the_run(aggregator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "rounds", lambda: 1)
    with pytest.raises(RunError) as end:
        aggregator.run(lambda *_: None)
    assert end.value is UNFIT
