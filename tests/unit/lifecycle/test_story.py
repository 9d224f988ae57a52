"""Events tell what a person should look at as Warnings, and everything else as Normal."""

from __future__ import annotations

import pytest

from panal.api.types import Condition, Phase, Status
from panal.lifecycle.reasons import Reason
from panal.lifecycle.story import events
from worlds import NOW

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
def test_only_trouble_is_a_warning(phase: Phase, reason: Reason, kind: str) -> None:
    assert [(e.type, e.reason) for e in events(WAITING, progressing(phase, reason, "why"))] == [(kind, reason)]


def test_the_end_is_told_even_when_it_says_what_was_said_while_waiting() -> None:
    before = progressing(Phase.WAITING, Reason.IMAGE_PULL_FAILED, "hub: image x:1")
    after = progressing(Phase.FAILED, Reason.IMAGE_PULL_FAILED, "hub: image x:1")
    assert [e.message for e in events(WAITING, before) + events(before, after)] == ["hub: image x:1", "Failed: hub: image x:1"]
