"""Events of problems are Warnings, all others are Normal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.api.types import Condition, Phase, Status
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.story import events
from worlds import NOW, fresh, progress, run, running, status_after

WAITING = Status(phase=Phase.WAITING)


def progressing(phase: Phase, reason: Reason, message: str) -> Status:
    condition = Condition(
        type="Progressing", status="True", reason=reason, message=message, last_transition_time=NOW, observed_generation=1
    )
    return Status(phase=phase, message=message, conditions=[condition])


@pytest.mark.parametrize(
    ("phase", "reason", "kind"),
    [
        (Phase.WAITING, Reason.NOT_ENOUGH_CLUSTERS, "Normal"),
        (Phase.WAITING, Reason.CLUSTER_SET_NOT_BOUND, "Warning"),
        (Phase.WAITING, Reason.IMAGE_PULL_FAILED, "Warning"),
        (Phase.RUNNING, Reason.TRAINING, "Normal"),
        (Phase.COMPLETED, Reason.COMPLETED, "Normal"),
        (Phase.FAILED, Reason.QUORUM_LOST, "Warning"),
    ],
)
def test_only_problems_are_warnings(phase: Phase, reason: Reason, kind: str) -> None:
    assert [(e.type, e.reason) for e in events(WAITING, progressing(phase, reason, "why"))] == [(kind, reason)]


def test_the_end_has_an_event_even_if_the_message_is_unchanged() -> None:
    before = progressing(Phase.WAITING, Reason.IMAGE_PULL_FAILED, "hub: image x:1")
    after = progressing(Phase.FAILED, Reason.IMAGE_PULL_FAILED, "hub: image x:1")
    assert [e.message for e in events(WAITING, before) + events(before, after)] == ["hub: image x:1", "Failed: hub: image x:1"]


def test_only_the_last_of_many_rounds_have_events() -> None:
    before = run(status_after(running()))
    plan = decide(running(run=before, progress=progress(rounds_completed=900, rounds_total=900)), NOW)
    messages = [e.message for e in plan.events if e.reason == Reason.ROUND_COMPLETED]
    assert len(messages) == 5
    assert messages[-1].startswith("round 900 of 900")


def test_fields_without_effect_have_one_event() -> None:
    world = fresh(run=run(server={"superlink": "superlink.flower-system:9091"}))
    plan = decide(world, NOW)
    assert [e.reason for e in plan.events if e.reason == Reason.FIELD_IGNORED] == [Reason.FIELD_IGNORED]
    assert plan.status is not None
    again = decide(replace(world, run=run(plan.status, server={"superlink": "superlink.flower-system:9091"})), NOW)
    assert not [e for e in again.events if e.reason == Reason.FIELD_IGNORED]
