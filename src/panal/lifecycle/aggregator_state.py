"""The state of the aggregator (starting, running, succeeded or failed), from its Job, its Pod and its termination message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from panal.api.types import ModelStatus
from panal.lifecycle.diagnosis import IMAGE_REASONS, termination_of
from panal.lifecycle.pods import REPORTER
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.runtime import runtime_of
from panal.lifecycle.storage import storage
from panal.lifecycle.world import ContainerView, JobView, PodView, Run, World

SIGNAL = 128  # a larger exit code is this plus the number of a signal: 137 SIGKILL, 143 SIGTERM of a node that is drained
LOST = (Reason.AGGREGATOR_LOST, Reason.STATE_LOST)
PROGRESS_DELAY = timedelta(minutes=4)  # the cache of ConfigMaps may lag behind that of Jobs by this much if a watch dies silently
POD_SHOULD_EXIST_AFTER = timedelta(seconds=20)
SCHEDULED_AFTER = timedelta(seconds=10)  # the time to bind a new volume claim
JOB_SHOULD_EXIST_AFTER = timedelta(minutes=4)  # longer than it takes to notice a dead watch


@dataclass(frozen=True, slots=True)
class AggregatorState:
    """`running`: the main container runs. `trouble` is why it does not start. After its end, `completed` is set, with the model if there is
    one, or `stop` with the reason of the failure, or `lost` if another aggregator could go on (a message without a remedy)."""

    running: bool = False
    trouble: Trouble | None = None
    stop: Trouble | None = None
    lost: Trouble | None = None
    completed: bool = False
    model: ModelStatus | None = None
    look_again: float | None = None


def aggregator_state(world: World, now: datetime) -> AggregatorState:
    """The state of this attempt."""
    job = world.job
    if job is None:
        return AggregatorState(lost=_vanished(world, now))
    if job.deleting:
        return AggregatorState()
    if job.succeeded:
        return _succeeded(world, job, now)
    if job.failed:
        return _failed(world, job)
    if world.progress and world.progress.unusable:
        of_the_model = world.progress.unusable_reason == Reason.INITIAL_MODEL_UNUSABLE
        reason = Reason.INITIAL_MODEL_UNUSABLE if of_the_model else Reason.STORAGE_UNUSABLE
        return AggregatorState(stop=Trouble.of(reason, world.progress.unusable))
    pod = newest(job)
    main = _main(world, pod)
    if main and (main.running or main.exit_code is not None):
        return AggregatorState(running=True)  # if it ended, its sidecars are ending, and the Job's conditions follow
    return _starting(world, job, pod, now)


def _vanished(world: World, now: datetime) -> Trouble | None:
    """A Job that ran and no longer exists was deleted. One that never ran may just be missing from the watch cache."""
    started, restarts = world.run.status.start_time, world.run.status.restarts
    if started is None:
        return None
    if restarts and restarts.time:
        started = max(started, restarts.time)
    was_running = any(c.type == "AggregatorReady" and c.status == "True" for c in world.run.status.conditions)
    if not was_running and (world.blind or now - started < JOB_SHOULD_EXIST_AFTER):
        return None
    return Trouble(Reason.AGGREGATOR_LOST, "the aggregator's Job was deleted")


def newest(job: JobView) -> PodView | None:
    return max(job.pods, key=lambda p: p.created, default=None)


def _succeeded(world: World, job: JobView, now: datetime) -> AggregatorState:
    """The main container succeeds only after the progress has the result, so a missing result means that the watch cache is late."""
    progress = world.progress
    if progress and (progress.model or progress.result):
        return AggregatorState(completed=True, model=progress.model)
    pod = newest(job)
    ended = max((c.ended for c in pod.containers if c.ended), default=job.created) if pod else job.created
    if now - ended > PROGRESS_DELAY and not world.blind:
        return AggregatorState(stop=Trouble.of(Reason.MODEL_NOT_STORED, "the aggregator ended without reporting where the model is"))
    return AggregatorState(running=True, look_again=1.0)


def _failed(world: World, job: JobView) -> AggregatorState:
    why = _why_failed(world, job)
    if why.reason not in LOST:
        return AggregatorState(stop=Trouble.of(why.reason, why.message, runtime_of(world).remedies))
    if world.progress and world.progress.result:  # it was lost after its work was done
        return AggregatorState(completed=True, model=world.progress.model)
    return AggregatorState(lost=why)


def _why_failed(world: World, job: JobView) -> Trouble:
    """Without a remedy."""
    pod = newest(job)
    main = _main(world, pod)
    if pod is None or main is None or main.exit_code is None:
        why = f"{pod.reason} {pod.message}".strip() if pod else job.failure
        return Trouble(Reason.AGGREGATOR_LOST, f"the aggregator's Pod was lost ({why or 'no reason given'})")
    reason, message = termination_of(main.message, runtime_of(world).remedies)
    if reason:
        return Trouble(reason, message)
    if main.exit_code > SIGNAL:
        return Trouble(Reason.AGGREGATOR_LOST, f"the aggregator was killed ({main.terminated}, exit code {main.exit_code})")
    return Trouble(Reason.AGGREGATOR_FAILED, f"the aggregator's {main.name} ended with exit code {main.exit_code} ({main.terminated})")


def _starting(world: World, job: JobView, pod: PodView | None, now: datetime) -> AggregatorState:
    remedies = runtime_of(world).remedies
    trouble = _start_trouble(world.run, job, pod, now, remedies)
    patience = timedelta(seconds=world.run.spec.server.quorum_timeout_seconds)
    left = (job.created + patience - now).total_seconds()
    if left > 0:
        return AggregatorState(trouble=trouble, look_again=min(left + 0.1, 10.0))
    if trouble:
        return AggregatorState(stop=trouble)
    late = f"the aggregator did not start within {patience.total_seconds():.0f} s"
    return AggregatorState(stop=Trouble.of(Reason.AGGREGATOR_FAILED, late, remedies))


def _start_trouble(run: Run, job: JobView, pod: PodView | None, now: datetime, remedies: Mapping[str, str]) -> Trouble | None:
    if pod is None:
        late = now - job.created > POD_SHOULD_EXIST_AFTER
        why = "; ".join(filter(None, ("hub: the aggregator's Job has no Pod", storage(run).without_pod(run))))
        return Trouble.of(Reason.POD_NOT_CREATED, why) if late else None
    if not pod.scheduled and pod.unschedulable and now - pod.created > SCHEDULED_AFTER:
        return Trouble.of(Reason.UNSCHEDULABLE, f"hub: the aggregator: {pod.unschedulable}")
    for container in pod.containers:
        if container.waiting in IMAGE_REASONS:
            return Trouble.of(Reason.IMAGE_PULL_FAILED, f"hub: image {container.image} of the aggregator: {container.waiting}")
        if container.waiting not in ("", "PodInitializing", "ContainerCreating"):
            why = f"{container.waiting} {container.waiting_message}".strip()
            wrong = container.waiting.startswith("CreateContainer")
            reason = Reason.CONTAINER_CONFIG_INVALID if wrong else Reason.AGGREGATOR_FAILED
            return Trouble.of(reason, f"{_field_of(run, container)}hub: the aggregator's container {container.name}: {why}", remedies)
    return None


def _field_of(run: Run, container: ContainerView) -> str:
    """The reporter refers to no Secret but that of a bucket."""
    wanted = run.spec.server.storage.s3
    named = container.name == REPORTER and container.waiting == "CreateContainerConfigError" and wanted and wanted.secret_name
    return "spec.server.storage.s3.secretName: " if named else ""


def _main(world: World, pod: PodView | None) -> ContainerView | None:
    """The container whose exit code decides the Job."""
    name = runtime_of(world).aggregator(world.run.spec).main["name"]
    return next((c for c in pod.containers if c.name == name), None) if pod else None
