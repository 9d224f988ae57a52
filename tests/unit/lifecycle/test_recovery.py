from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panal.api.types import Phase, RestartsStatus, Status
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Plan
from panal.lifecycle.reasons import Reason
from panal.lifecycle.recovery import MOST
from panal.lifecycle.world import World
from panal.pod.tools.codes import Ending
from worlds import JOB_UID, NOW, ago, applied, done, job, launcher, pod, progress, reason_of, run, running, said, status_after

KILLED = launcher(running=False, exit_code=137, terminated="OOMKilled")
LOST: list[tuple[str, World, str]] = [
    ("killed", running(job=job(pod(KILLED), failed=True)), "OOMKilled, exit code 137"),
    ("terminated", running(job=job(pod(replace(KILLED, exit_code=143)), failed=True)), "exit code 143"),
    ("its Pod is gone", running(job=job(failed=True, failure="BackoffLimitExceeded")), "Backoff"),
    (
        "evicted",
        running(job=job(pod(launcher(running=False), reason="Evicted", message="disk pressure"), failed=True)),
        "Evicted disk pressure",
    ),
    ("its framework is gone", said(Ending.AGGREGATOR_LOST, "The SuperLink was restarted"), "The SuperLink was restarted"),
    ("a site's state is gone", said(Ending.STATE_LOST, "cluster2 has lost its state"), "cluster2 has lost its state"),
]


def deleted(plan: Plan) -> list[str]:
    return [ref.uid for ref in plan.delete if ref.kind == "Job"]


def after(world: World, status: Status, **changes: Any) -> World:
    return replace(world, run=run(status), **changes)


@pytest.mark.parametrize(("world", "why"), [pytest.param(*case[1:], id=case[0]) for case in LOST])
def test_another_aggregator_follows_one_that_is_lost(world: World, why: str) -> None:
    before = status_after(running())
    world = after(world, before)
    plan = decide(world, NOW)
    status = plan.status
    assert status
    assert status.restarts == RestartsStatus(count=1, in_vain=1, round=1, time=NOW, lost=JOB_UID, message=status.restarts.message)
    assert why in status.message
    assert (status.phase, reason_of(status)) == (before.phase, Reason.AGGREGATOR_RESTARTING)
    assert status.start_time == before.start_time
    assert deleted(plan) == [JOB_UID]
    assert not [ref for ref in plan.delete if ref.kind == "ManifestWork"]
    assert [(e.type, e.reason) for e in plan.events] == [("Warning", Reason.AGGREGATOR_RESTARTING)]
    again = decide(after(world, status), ago(-1))
    assert (again.status, deleted(again)) == (None, [JOB_UID])  # counted once, however long the cache lags behind


def test_the_successor_is_applied_when_the_lost_one_is_gone() -> None:
    known = progress(rounds_completed=2, checkpoint=1)
    lost = status_after(after(LOST[0][1], status_after(running()), progress=known))
    going = after(running(), lost, job=job(pod(KILLED), failed=True, deleting=True), progress=None)
    assert not applied(decide(going, NOW), "Job")
    gone = after(running(), lost, job=None, progress=None)
    plan = decide(gone, NOW)
    assert len(applied(plan, "Job")) == 1
    assert plan.status
    assert (plan.status.phase, plan.status.start_time) == (Phase.RUNNING, lost.start_time)
    assert (lost.rounds.completed, plan.status.rounds.completed, plan.status.rounds.checkpoint) == (2, 1, 1)
    assert "the last one was lost: the aggregator was killed (OOMKilled, exit code 137)" in plan.status.message
    successor = replace(job(pod(launcher())), uid="successor", created=ago(1))
    status = status_after(after(running(), plan.status, job=successor, progress=progress(rounds_completed=1, checkpoint=1)))
    assert (status.start_time, status.rounds.checkpoint, status.restarts) == (lost.start_time, 1, lost.restarts)


def test_a_deleted_job_is_replaced_at_once() -> None:
    started = status_after(running(job=job(pod(), created=ago(120))))
    plan = decide(running(run=run(started), job=None, progress=None), NOW)
    assert plan.status
    assert plan.status.restarts
    assert len(applied(plan, "Job")) == 1


def test_a_run_ends_if_no_aggregator_completes_a_round() -> None:
    status = status_after(running())
    for number in range(1, MOST + 1):
        lost = running(job=replace(job(pod(KILLED), failed=True), uid=f"job-{number}"))
        status = status_after(after(lost, status))
        assert status.restarts
        assert status.restarts.in_vain == number
    last = running(job=replace(job(pod(KILLED), failed=True), uid="job-last"))
    failed = status_after(after(last, status))
    assert (failed.phase, reason_of(failed)) == (Phase.FAILED, Reason.AGGREGATOR_LOST)
    assert f"{MOST} aggregators were lost before it without a further round" in failed.message
    further = status_after(after(replace(last, progress=progress(rounds_completed=2)), status))
    assert further.restarts
    assert (further.restarts.count, further.restarts.in_vain, further.restarts.round) == (MOST + 1, 1, 2)


@pytest.mark.parametrize(
    ("policy", "reason", "notices", "phase"),
    [
        ("Restart", Ending.AGGREGATOR_LOST, {"NotResumable": "S.lock (lock)"}, Phase.RUNNING),
        ("Fail", Ending.AGGREGATOR_LOST, {"NotResumable": "S.lock (lock)"}, Phase.FAILED),
        ("Fail", Ending.AGGREGATOR_LOST, {}, Phase.RUNNING),
        ("Restart", Ending.STATE_LOST, {}, Phase.RUNNING),
        ("Fail", Ending.STATE_LOST, {}, Phase.FAILED),
    ],
)
def test_what_cannot_go_on_follows_the_spec(policy: str, reason: Ending, notices: dict[str, str], phase: Phase) -> None:
    world = replace(said(reason, "it is gone"), progress=progress(rounds_completed=1, notices=notices))
    before = status_after(running())
    status = status_after(replace(world, run=run(before, server={"onAggregatorLoss": policy})))
    assert status.phase is phase
    assert reason_of(status) == (reason if phase is Phase.FAILED else Reason.AGGREGATOR_RESTARTING)
    if phase is Phase.FAILED:
        assert "onAggregatorLoss" in status.message


def test_an_aggregator_that_is_killed_after_its_work_was_done_has_completed_the_run() -> None:
    world = done()
    assert world.progress
    killed = replace(world, job=job(pod(KILLED), failed=True))
    assert status_after(killed).restarts
    assert status_after(replace(killed, progress=world.progress.model_copy(update={"result": "Model"}))).phase is Phase.COMPLETED


def test_a_suspended_run_shows_the_rounds_that_are_stored() -> None:
    status = status_after(running(progress=progress(rounds_completed=2, checkpoint=2)))
    suspended = status_after(running(run=run(status, suspend=True), progress=None))
    assert (suspended.rounds.summary, suspended.start_time) == ("2/3", None)
    resumed = decide(running(run=run(suspended), job=None, progress=None), NOW)
    assert resumed.status
    assert resumed.status.rounds.summary == "2/3"
    assert Reason.ROUND_COMPLETED not in [e.reason for e in resumed.events]
