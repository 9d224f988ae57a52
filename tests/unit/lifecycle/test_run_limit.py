"""How many runs of a namespace may be active: which of them starts, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from panal.api.types import Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import OtherRun, World
from worlds import NOW, ago, applied, fresh, run, running, status_after

OWN = run().created
STARTED = OtherRun("started", OWN + timedelta(hours=1), True, "Training")
OLDER = OtherRun("older", OWN - timedelta(hours=1), False, "NotEnoughClusters")
YOUNGER = OtherRun("younger", OWN + timedelta(hours=1), False, "RunLimitReached")
WITH_A_PARENT = OtherRun("child", OWN - timedelta(hours=1), False, "InitialModelPending")
SAME_AGE = OtherRun("a", OWN, False, "")


def limited(limit: str | None, *others: OtherRun) -> World:
    return fresh(run_limit=limit, active_runs=others)


@pytest.mark.parametrize(
    ("limit", "others", "starts"),
    [
        (None, [STARTED, OLDER], True),
        ("1", [], True),
        ("1", [STARTED], False),
        ("1", [OLDER], False),
        ("1", [SAME_AGE], False),
        ("1", [YOUNGER], True),
        ("1", [WITH_A_PARENT], True),
        ("2", [STARTED], True),
        ("2", [STARTED, OLDER], False),
        ("0", [], False),
        ("-1", [], False),
        ("two", [], False),
        ("", [], False),
    ],
)
def test_a_run_starts_if_there_is_room_for_it(limit: str | None, others: list[OtherRun], starts: bool) -> None:
    plan = decide(limited(limit, *others), NOW)
    assert bool(applied(plan, "Placement")) is starts
    assert plan.status is not None
    assert plan.status.phase == Phase.WAITING
    assert (plan.status.conditions[4].reason == Reason.RUN_LIMIT_REACHED) is not starts


def test_the_message_names_the_limit_and_the_runs_before() -> None:
    message = status_after(limited("2", STARTED, OLDER)).message
    assert message.startswith(
        "the annotation fl.panal/max-active-runs of namespace ns is 2, and 2 runs come before this one: started, older. "
    )
    assert 'is "two", which is no number of runs' in status_after(limited("two")).message
    many = [replace(STARTED, name=f"r{number}") for number in range(9)]
    assert "9 runs come before this one: r0, r1, r2, r3, r4 and 4 more. " in status_after(limited("1", *many)).message


def test_a_run_that_has_started_goes_on_when_the_limit_is_lowered() -> None:
    plan = decide(running(run_limit="0", active_runs=(STARTED,)), NOW)
    assert plan.status is not None
    assert plan.status.phase == Phase.RUNNING


def test_a_run_that_waits_for_its_turn_writes_no_status_twice() -> None:
    world = limited("1", STARTED)
    again = replace(world, run=run(status_after(world)))
    assert decide(again, NOW + timedelta(minutes=1)).status is None


def test_a_deadline_ends_a_run_that_waits_for_its_turn() -> None:
    late = replace(run(activeDeadlineSeconds=60), created=ago(61))
    plan = decide(fresh(run=late, run_limit="1", active_runs=(STARTED,)), NOW)
    assert plan.status is not None
    assert plan.status.phase == Phase.FAILED
