"""The state of the aggregator, from its Job, its Pod and the launcher's termination message."""

from __future__ import annotations

import pytest

from panal.api.types import Phase
from panal.lifecycle.aggregator_state import AggregatorState, aggregator_state
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import World
from worlds import NOW, ago, done, job, launcher, pod, progress, remedy, running, said, status_after

ENDED: list[tuple[str, World, Reason, str]] = [
    (
        "the launcher says why",
        said("ServerAppFailed", "the server app ended with an error"),
        Reason.SERVER_APP_FAILED,
        "ended with an error",
    ),
    ("an unknown reason", said("Whatever", "secret text"), Reason.AGGREGATOR_FAILED, "exit code 1"),
    (
        "the aggregator's image stays missing",
        running(job=job(pod(launcher(running=False, waiting="ImagePullBackOff")), created=ago(601)), progress=None),
        Reason.IMAGE_PULL_FAILED,
        "example/app:1",
    ),
    (
        "the aggregator cannot be placed",
        running(job=job(pod(launcher(running=False), scheduled=False, unschedulable="0/1 nodes"), created=ago(601)), progress=None),
        Reason.UNSCHEDULABLE,
        "0/1 nodes",
    ),
    ("no Pod may be made", running(job=job(created=ago(601)), progress=None), Reason.POD_NOT_CREATED, "no Pod"),
    (
        "success without a word of the model",
        running(job=job(pod(launcher(running=False, exit_code=0, ended=ago(241))), succeeded=True)),
        Reason.MODEL_NOT_STORED,
        "where the model is",
    ),
    (
        "it does not start at all",
        running(job=job(pod(launcher(running=False)), created=ago(601))),
        Reason.AGGREGATOR_FAILED,
        "within 600 s",
    ),
]


@pytest.mark.parametrize(("world", "reason", "words"), [case[1:] for case in ENDED], ids=[case[0] for case in ENDED])
def test_a_failed_aggregator_has_a_reason_and_a_remedy(world: World, reason: Reason, words: str) -> None:
    stopped = aggregator_state(world, NOW).stop
    assert stopped
    assert stopped.reason == reason
    assert words in stopped.message
    assert stopped.message.endswith(remedy(reason))


def test_a_pod_whose_volume_is_being_bound_is_not_reported() -> None:
    waits = pod(launcher(running=False), scheduled=False, unschedulable="pod has unbound immediate PersistentVolumeClaims", created=ago(9))
    state = aggregator_state(running(job=job(waits)), NOW)
    assert state.trouble is None
    assert state.look_again is not None


STARTING: list[tuple[str, World, Reason]] = [
    ("its image", running(job=job(pod(launcher(running=False, waiting="ErrImagePull")))), Reason.IMAGE_PULL_FAILED),
    ("its place", running(job=job(pod(launcher(running=False), scheduled=False, unschedulable="0/1 nodes"))), Reason.UNSCHEDULABLE),
    ("its Pod", running(job=job(created=ago(21))), Reason.POD_NOT_CREATED),
    ("its configuration", running(job=job(pod(launcher(running=False, waiting="CreateContainerError")))), Reason.CONTAINER_CONFIG_INVALID),
    ("its crash", running(job=job(pod(launcher(running=False, waiting="CrashLoopBackOff")))), Reason.AGGREGATOR_FAILED),
]


@pytest.mark.parametrize(("world", "reason"), [case[1:] for case in STARTING], ids=[case[0] for case in STARTING])
def test_a_start_problem_is_reported_before_the_timeout(world: World, reason: Reason) -> None:
    state = aggregator_state(world, NOW)
    assert state.trouble
    assert state.trouble.reason == reason
    assert state.stop is None
    assert state.look_again


def test_a_job_that_is_being_deleted_has_no_state() -> None:
    assert aggregator_state(running(job=job(pod(launcher()), deleting=True)), NOW) == AggregatorState()


def test_an_ended_launcher_has_no_start_problem() -> None:
    """The Job has a result only after the sidecars have ended as well."""
    ending = job(pod(launcher(running=False, exit_code=0)), created=ago(10_000))
    assert status_after(running(job=ending)).phase is Phase.RUNNING


def test_success_waits_for_the_progress_with_the_model() -> None:
    late = done(progress=progress(rounds_completed=3))
    plan = decide(late, NOW)
    assert plan.status is None or plan.status.phase is Phase.RUNNING
    assert plan.look_again == 1.0
