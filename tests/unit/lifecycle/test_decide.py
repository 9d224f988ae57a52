"""The outline of a run: each world leads to its phase, its reason, and the objects it needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.api.types import FilesStatus, Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import PlacementView, Refusal, World
from worlds import (
    MODEL,
    NOW,
    ago,
    applied,
    deleted,
    done,
    fresh,
    job,
    launcher,
    names_of,
    pod,
    progress,
    reason_of,
    remedy,
    run,
    running,
    said,
    status_after,
)

FAILURES: list[tuple[str, World, Reason, str]] = [
    ("the framework is not installed", fresh(run=run(framework="fate")), Reason.RUNTIME_NOT_SUPPORTED, "spec.framework"),
    ("deadline while waiting", fresh(run=run(activeDeadlineSeconds=3600), placement=None), Reason.DEADLINE_EXCEEDED, "3600"),
    ("deadline while running", running(run=run(status_after(running()), activeDeadlineSeconds=60)), Reason.DEADLINE_EXCEEDED, "Running"),
    (
        "the launcher says why",
        said("ServerAppFailed", "the server app ended with an error"),
        Reason.SERVER_APP_FAILED,
        "ended with an error",
    ),
    (
        "the aggregator's image stays missing",
        running(job=job(pod(launcher(running=False, waiting="ImagePullBackOff")), created=ago(601)), progress=None),
        Reason.IMAGE_PULL_FAILED,
        "example/app:1",
    ),
]


@pytest.mark.parametrize(("world", "reason", "words"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
def test_a_failed_run_has_a_reason_and_a_remedy(world: World, reason: Reason, words: str) -> None:
    plan = decide(world, NOW)
    assert plan.status is not None
    assert plan.status.phase is Phase.FAILED
    assert reason_of(plan.status) == reason
    assert words in plan.status.message
    assert plan.status.message.endswith(remedy(reason))
    assert plan.status.completion_time == NOW
    assert not plan.apply
    assert [e for e in plan.events if e.type == "Warning" and e.reason == reason]
    assert set(deleted(plan, "ManifestWork")) == set(world.works)


WAITING: list[tuple[str, World, Reason, str]] = [
    ("OCM has not answered", fresh(placement=None), Reason.PLACEMENT_PENDING, "placement controller"),
    (
        "the placement is wrong",
        fresh(placement=PlacementView(selected=frozenset(), misconfigured="celSelector: no such field")),
        Reason.PLACEMENT_MISCONFIGURED,
        "no such field",
    ),
    ("suspended", fresh(run=run(suspend=True)), Reason.SUSPENDED, "spec.suspend"),
    ("just started", fresh(), Reason.AGGREGATOR_STARTING, "starting"),
    (
        "the image is missing for now",
        running(job=job(pod(launcher(running=False, waiting="ErrImagePull"))), progress=None),
        Reason.IMAGE_PULL_FAILED,
        "ErrImagePull",
    ),
    ("no address", running(exposed=(), works={}, progress=None), Reason.ADDRESS_PENDING, "Service"),
    ("collaborators are starting", running(progress=progress(started=False, connected=1)), Reason.COLLABORATORS_STARTING, "1 of 2 needed"),
]


@pytest.mark.parametrize(("world", "reason", "words"), [w[1:] for w in WAITING], ids=[w[0] for w in WAITING])
def test_a_waiting_run_reports_what_it_waits_for(world: World, reason: Reason, words: str) -> None:
    status = status_after(world)
    assert (status.phase, reason_of(status)) == (Phase.WAITING, reason)
    assert words in status.message
    assert status.completion_time is None


def test_nothing_starts_without_enough_clusters() -> None:
    plan = decide(fresh(placement=PlacementView(selected=names_of(1))), NOW)
    assert {o["kind"] for o in plan.apply} == {"Placement"}
    assert status_after(fresh(placement=PlacementView(selected=names_of(1)))).start_time is None


def test_the_aggregator_is_created_with_enough_clusters() -> None:
    plan = decide(fresh(run=replace(run(), finalizers=())), NOW)
    kinds = [o["kind"] for o in plan.apply]
    assert kinds == [
        "Placement",
        "Service",
        "ConfigMap",
        "ConfigMap",
        "ConfigMap",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "PersistentVolumeClaim",
        "Job",
    ]
    assert plan.add_finalizer
    assert plan.status is not None
    assert plan.status.start_time == NOW


def test_a_completed_run_has_its_model() -> None:
    plan = decide(done(), NOW)
    assert plan.status is not None
    assert plan.status.phase is Phase.COMPLETED
    assert plan.status.model == MODEL
    assert MODEL.uri in plan.status.message
    assert plan.status.rounds.summary == "3/3"
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert [e.reason for e in plan.events] == ["RoundCompleted", "RoundCompleted", "ModelStored", "Completed"]


def test_a_model_of_one_round_is_named_in_the_singular() -> None:
    world = done()
    assert world.progress is not None
    first = world.progress.model_copy(update={"model": MODEL.model_copy(update={"round": 1})})
    status = status_after(replace(world, progress=first))
    assert status.message.startswith("model after 1 round at ")


def test_a_run_without_model_completes_with_its_own_reason() -> None:
    world = done(progress=progress(result="Metrics"))
    status = status_after(world)
    assert (status.phase, status.model) == (Phase.COMPLETED, None)
    assert reason_of(status) == Reason.WITHOUT_MODEL
    assert "leaves no model" in status.message


def test_a_run_with_only_files_reports_their_location() -> None:
    found = FilesStatus(uri="pvc://models/f/", count=1, size=9)
    status = status_after(done(progress=progress(result="Files", files=found)))
    assert reason_of(status) == Reason.WITHOUT_MODEL
    assert "leaves 1 file at pvc://models/f/, and no model" in status.message


def test_the_message_has_what_the_app_waits_for() -> None:
    world = running(progress=progress(waiting="the app waits for 5 nodes, 3 are there"))
    assert "waits for 5 nodes" in status_after(world).message


def test_an_unchanged_run_writes_nothing() -> None:
    world = running()
    settled = replace(world, run=run(status_after(world)))
    plan = decide(settled, ago(-60))
    assert (plan.status, plan.events, plan.delete) == (None, (), ())


def test_suspending_deletes_job_and_works_and_allows_editing() -> None:
    plan = decide(running(run=run(status_after(running()), suspend=True)), NOW)
    assert deleted(plan, "Job") == ["digits-aggregator"]
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert plan.status is not None
    assert plan.status.start_time is None
    assert plan.status.rounds.completed == 0


@pytest.mark.parametrize(
    ("world", "doing"),
    [
        (fresh(run=run(stop=True)), "Waiting"),
        (fresh(run=run(status_after(fresh()), stop=True)), "Waiting: the aggregator is starting"),
        (running(run=run(status_after(running()), stop=True)), "Running: round"),
        (running(run=run(status_after(running()), stop=True, suspend=True)), "Running: round"),
    ],
)
def test_a_stopped_run_fails_and_keeps_its_status(world: World, doing: str) -> None:
    plan = decide(world, NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status)) == (Phase.FAILED, Reason.STOPPED)
    assert f"spec.stop is set; the run was {doing}" in plan.status.message
    assert plan.status.rounds == world.run.status.rounds or not world.run.has_status
    assert deleted(plan, "Job") == (["digits-aggregator"] if world.job else [])
    assert deleted(plan, "ManifestWork") == sorted(world.works)
    assert not plan.apply


def test_a_stored_model_stays_in_the_status_of_a_stopped_run() -> None:
    """The app trains several models."""
    known = done().progress
    assert known
    status = status_after(running(run=run(status_after(running()), stop=True), progress=known))
    assert (status.phase, status.model) == (Phase.FAILED, known.model)
    assert status.model


def test_stopping_a_completed_run_has_no_effect() -> None:
    world = done()
    assert status_after(replace(world, run=run(world.run.status, stop=True))).phase is Phase.COMPLETED


def test_a_job_missing_from_the_cache_is_applied_again() -> None:
    """A dead watch hides a new Job until it is noticed."""
    started = status_after(fresh(), ago(120))
    unseen = fresh(run=run(started))
    assert [j["metadata"]["name"] for j in applied(decide(unseen, NOW), "Job")] == ["digits-aggregator"]
    assert status_after(unseen, ago(-150)).restarts
    assert not status_after(replace(unseen, blind=True), ago(-150)).restarts


def test_a_suspended_run_ends_at_its_deadline() -> None:
    plan = decide(running(run=run(status_after(running()), suspend=True, activeDeadlineSeconds=60)), NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status)) == (Phase.FAILED, Reason.DEADLINE_EXCEEDED)


def test_a_resumed_run_waits_for_the_deletion_of_its_old_job() -> None:
    resumed = fresh(
        run=run(status_after(running(run=run(status_after(running()), suspend=True)))), job=job(deleting=True, created=ago(900))
    )
    plan = decide(resumed, NOW)
    assert plan.status is not None
    assert (plan.status.phase, plan.status.start_time) == (Phase.WAITING, NOW)
    assert not applied(plan, "Job")


REFUSED = Refusal("Service", "ns", "digits-aggregator", "provided port is already allocated", invalid=True)


def test_an_invalid_object_ends_a_run_that_has_not_started() -> None:
    status = status_after(fresh(refused=(REFUSED,)))
    assert (status.phase, reason_of(status)) == (Phase.FAILED, Reason.OBJECT_REFUSED)
    assert "Service digits-aggregator: provided port is already allocated" in status.message


def test_a_temporary_refusal_is_reported_and_retried() -> None:
    plan = decide(fresh(refused=(replace(REFUSED, message="exceeded quota", invalid=False),)), NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status), plan.status.start_time) == (Phase.WAITING, Reason.OBJECT_REFUSED, None)
    assert "exceeded quota" in plan.status.message
    assert applied(plan, "Job")


def test_a_refused_update_does_not_end_a_running_run() -> None:
    assert status_after(running(refused=(REFUSED,))).phase is Phase.RUNNING


@pytest.mark.parametrize(
    "world",
    [done(), said("ServerAppFailed", "the server app ended with an error")],
    ids=["completed", "failed"],
)
def test_a_finished_run_whose_status_was_removed_does_not_train_again(world: World) -> None:
    """Its Job and its progress stay, and the status is derived from them."""
    plan = decide(replace(world, run=run(), works={}), NOW)
    assert plan.status
    assert plan.status.phase is status_after(world).phase
    assert plan.status.phase in (Phase.COMPLETED, Phase.FAILED)
    assert (applied(plan, "Job"), applied(plan, "ManifestWork")) == ([], [])
