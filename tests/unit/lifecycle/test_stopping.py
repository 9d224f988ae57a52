"""What ends a run from outside: spec.stop and the deadline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panal.lifecycle.reasons import Reason
from panal.lifecycle.stopping import deadline_left, stopped
from panal.lifecycle.world import World
from worlds import NOW, ago, done, fresh, run, running, status_after


def asking(world: World, created: float = 100, **spec: Any) -> World:
    status = world.run.status if world.run.has_status else None
    return replace(world, run=replace(run(status, **spec), created=ago(created)))


RUNNING = running(run=run(status_after(running())))

CASES: list[tuple[str, World, Reason | None, str]] = [
    ("not stopped", asking(RUNNING), None, ""),
    ("stopped before it was observed", asking(fresh(), stop=True), Reason.STOPPED, "the run was Waiting."),
    ("stopped while it runs", asking(RUNNING, stop=True), Reason.STOPPED, "the run was Running: round 2 of 3"),
    ("stopped when it has its model", asking(done(), stop=True), None, ""),
    ("before its deadline", asking(RUNNING, activeDeadlineSeconds=101), None, ""),
    ("at its deadline", asking(RUNNING, activeDeadlineSeconds=100), Reason.DEADLINE_EXCEEDED, "(100) is over; the run was Running"),
    ("stopped after its deadline", asking(RUNNING, stop=True, activeDeadlineSeconds=1), Reason.STOPPED, "spec.stop is set"),
]


@pytest.mark.parametrize(("world", "reason", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_run_ends_when_it_is_stopped_or_its_deadline_passes(world: World, reason: Reason | None, words: str) -> None:
    found = stopped(world, NOW)
    assert (found.reason if found else None) is reason
    assert words in (found.message if found else "")


def test_the_next_reconcile_is_at_the_deadline() -> None:
    assert deadline_left(asking(RUNNING, activeDeadlineSeconds=130), NOW) == pytest.approx(30.1)
    assert deadline_left(asking(RUNNING), NOW) is None
