"""What the Jobs have in common that work on the stored model of a Completed run: its export, its validation, its publication.

The containers of such a Job follow each other. The first are panal's: the pod tools, and `model`, which copies the model out of the storage
and checks its digest. The last one is panal's as well, and leaves the result as its termination message. A container with a user's image
mounts neither the storage nor a token.

The phase of the run does not change, and the model stays. The Job's condition is Unknown until it has ended, then True or False for good.
A Pod that was evicted, drained or preempted is not a failure: Kubernetes begins with another one, within the Job's deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from panal.api import names
from panal.api.text import shown
from panal.api.types import Condition, Phase, PodSettings, Spec, Status, StorageType
from panal.lifecycle import pods, refused
from panal.lifecycle.aggregator_state import newest
from panal.lifecycle.metadata import labels, owned
from panal.lifecycle.plan import Event, Plan, Ref
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.storage import storage
from panal.lifecycle.world import JobView, Object, PodView, Run, World

COPY = "model"  # the container that copies the model
MODEL_DIR, RESULTS_DIR = "/panal/model", "/panal/results"
STARTING = timedelta(minutes=10)  # for images and volumes, and to copy the model
GRACE = timedelta(minutes=1)  # after which Kubernetes ends a Job that the controller should have deleted
LATE = timedelta(minutes=4)  # the cache of Pods may lag behind that of Jobs by this much
DEADLINE = "DeadlineExceeded"  # why a Job failed

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a pass finds. `changes` are those of the status' fields, and `detail` is what the Event adds to the message."""

    truth: Truth
    reason: Reason
    message: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""
    apply: tuple[Object, ...] = ()
    delete: tuple[Ref, ...] = ()
    look_again: float | None = None


@dataclass(frozen=True, slots=True)
class ModelJob:
    """One of the Jobs. `seconds`: what it may take besides STARTING. `doing`: what it does, for the message while it runs. `last`: the
    container with the result, which `result` reads: None if it cannot be read. `make`: the Job for the hub. `without`: why there will be
    no Job, if so."""

    condition: str
    name: str
    view: JobView | None
    seconds: int
    doing: str
    going: Reason
    failed: Reason
    last: str
    result: Callable[[str], Finding | None]
    make: Callable[[], Object]
    without: Finding | None = None

    def failure(self, message: str) -> Finding:
        return Finding("False", self.failed, with_remedy(self.failed, message))

    def waiting(self, message: str, look_again: float | None = None) -> Finding:
        return Finding("Unknown", self.going, message, look_again=look_again)


def problem(spec: Spec, field_: str) -> str:
    """Why no Job can read the model after the run, for the field that wants it; empty if one can."""
    bucket = spec.server.storage.type is StorageType.S3_BUCKET and spec.server.storage.s3
    if bucket and not bucket.secret_name:
        return f"{field_}: a bucket needs spec.server.storage.s3.secretName, because the identity of the run's Pod ends with the run"
    return ""


def is_open(status: Status, condition: str) -> bool:
    """Whether there is a model and the condition has not been decided."""
    return status.phase is Phase.COMPLETED and status.model is not None and truth(status, condition) == "Unknown"


def truth(status: Status, condition: str) -> Truth:
    return next((c.status for c in status.conditions if c.type == condition), "Unknown")


def follow(world: World, plan: Plan, job: ModelJob, now: datetime) -> Plan:
    """Adds the Job to the plan of an ended run."""
    found = job.without or _finding(world, job, now)
    status = _status(world, job.condition, found, now)
    changed = status != world.run.status
    looks = [seconds for seconds in (plan.look_again, found.look_again) if seconds is not None]
    return replace(
        plan,
        apply=(*plan.apply, *found.apply),
        delete=(*plan.delete, *found.delete),
        status=status if changed else None,
        events=(*plan.events, *(_events(found) if changed else ())),
        look_again=min(looks, default=None),
    )


# --- what has happened ------------------------------------------------------------------------------------------
def _finding(world: World, wanted: ModelJob, now: datetime) -> Finding:
    job = wanted.view
    if job is None:
        return _without_job(world, wanted)
    if job.deleting:
        return wanted.waiting("the previous Job is being removed")
    pod = newest(job)
    containers = {each.name: each for each in pod.containers} if pod else {}
    last = containers.get(wanted.last)
    if last and last.exit_code == 0:
        return wanted.result(last.message) or wanted.failure("its result cannot be read")
    overdue = f"it did not end within {wanted.seconds} s"
    if job.failed:
        return wanted.failure((_trouble(pod) or overdue) if job.failure.startswith(DEADLINE) else _why(job, pod))
    limit = job.created + STARTING + timedelta(seconds=wanted.seconds)
    if job.succeeded:  # the Pod's status is late, or the Pod is gone
        left = (limit + LATE - now).total_seconds()
        return wanted.waiting("the result is expected", 1.0) if left > 0 else wanted.failure("the Pod with the result is gone")
    left = (limit - now).total_seconds()
    if left <= 0:
        ended = Ref("batch/v1", "Job", world.run.namespace, wanted.name, job.uid)
        return replace(wanted.failure(_trouble(pod) or overdue), delete=(ended,))
    return wanted.waiting(_trouble(pod) or wanted.doing, left + 0.1)


def _without_job(world: World, wanted: ModelJob) -> Finding:
    refusal = next((each for each in world.refused if each.kind == "Job" and each.name == wanted.name), None)
    if refusal and refusal.invalid:
        return wanted.failure(refused.by_the_hub(refusal).message)
    waiting = wanted.waiting(refused.by_the_hub(refusal).message if refusal else "the Job is created")
    return replace(waiting, apply=(wanted.make(),))


def _why(job: JobView, pod: PodView | None) -> str:
    """Why the Job failed."""
    for container in pod.containers if pod else ():
        if container.exit_code:
            said = container.message.strip().splitlines()
            ending = f"container {container.name} ended with exit code {container.exit_code} ({container.terminated})"
            return f"{ending}: {shown(said[-1], 800)}" if said else ending
    return f"its Pod was lost ({f'{pod.reason} {pod.message}'.strip() if pod and pod.reason else job.failure or 'no reason given'})"


def _trouble(pod: PodView | None) -> str:
    """Why the Pod does not start; empty if it does, or nothing is known."""
    if pod is None:
        return ""
    if not pod.scheduled and pod.unschedulable:
        return f"the Pod cannot be scheduled: {pod.unschedulable}"
    waits = (c for c in pod.containers if c.waiting not in ("", "PodInitializing", "ContainerCreating"))
    return next((f"container {c.name} ({c.image}): {c.waiting} {c.waiting_message}".strip() for c in waits), "")


# --- the status -------------------------------------------------------------------------------------------------
def _status(world: World, name: str, found: Finding, now: datetime) -> Status:
    old = world.run.status
    before = next((c for c in old.conditions if c.type == name), None)
    same = before is not None and before.status == found.truth
    condition = Condition(
        type=name,
        status=found.truth,
        reason=found.reason,
        message=shown(found.message, 1024),
        last_transition_time=before.last_transition_time if before and same else now,
        observed_generation=world.run.generation,
    )
    return old.model_copy(update={"conditions": [*(c for c in old.conditions if c.type != name), condition], **found.changes})


def _events(found: Finding) -> tuple[Event, ...]:
    if found.truth == "Unknown":
        return ()
    good = found.truth == "True"
    message = f"{found.message}: {found.detail}" if found.detail and good else found.message
    return (Event("Normal" if good else "Warning", found.reason.value, message),)


# --- the Job ----------------------------------------------------------------------------------------------------
def job(run: Run, name: str, component: str, seconds: int, pod: Object) -> Object:
    limit = seconds + round((STARTING + GRACE).total_seconds())
    template = {"metadata": {"labels": labels(run, component)}, "spec": pod}
    spec = {
        "activeDeadlineSeconds": limit,
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]},
        "completions": 1,
        "parallelism": 1,
        "template": template,
    }
    return owned(run, "batch/v1", "Job", name, component) | {"spec": spec}


def pod(world: World, init: Sequence[Object], main: Object, volumes: Sequence[Object]) -> Object:
    """A Pod without a token. It has the volumes `model` and `scratch`, those of the storage, and `volumes`."""
    run = world.run
    needs = storage(run).reporter(run)
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": pods.security(world.open_shift),
        "initContainers": list(init),
        "containers": [main],
        "volumes": [
            *pods.empty_dirs("model", "scratch"),
            *volumes,
            {"name": "storage", **storage(run).volume(run)},
            *({"name": name, **source} for name, (source, _) in needs.volumes.items()),
        ],
        **pods.scheduling(run.spec.server),
    }


def users_volumes(limit: str) -> list[Object]:
    """What a container with a user's image mounts besides the model. `limit` is the size of what it may leave."""
    return [*pods.empty_dirs("tools", "tmp"), *pods.memory_dirs("pod"), {"name": "results", "emptyDir": {"sizeLimit": limit}}]


USERS_MOUNTS: tuple[Object, ...] = (
    {"name": "tools", "mountPath": names.TOOLS_DIR, "readOnly": True},
    {"name": "model", "mountPath": MODEL_DIR, "readOnly": True},
    {"name": "results", "mountPath": RESULTS_DIR},
    {"name": "tmp", "mountPath": "/tmp"},
)


def users_container(run: Run, name: str, image: str, command: Sequence[str], settings: PodSettings) -> Object:
    """Finds the model by `variables`, and leaves what it makes in the folder for results. `command` is that of `run.py`."""
    container: Object = {
        "name": name,
        "image": image,
        "command": ["python3", f"{names.TOOLS_DIR}/run.py", *command],
        "env": [{"name": name, "value": value} for name, value in variables(run).items()],
        "volumeMounts": list(USERS_MOUNTS),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if run.spec.server.image_pull_policy:
        container["imagePullPolicy"] = run.spec.server.image_pull_policy
    return pods.with_settings(container, settings)


def copying(world: World) -> Object:
    """The container that copies the model, what is beside it, and the exported files: it mounts the storage read-only."""
    return with_storage(world, COPY, "panal.pod.fetching", {"name": "model", "mountPath": MODEL_DIR}, read_only=True)


def storing(world: World, name: str, program: str) -> Object:
    """The container that stores what the user's container has left."""
    return with_storage(world, name, program, {"name": "results", "mountPath": RESULTS_DIR, "readOnly": True}, read_only=False)


def with_storage(world: World, name: str, program: str, mount: Object, *, read_only: bool) -> Object:
    """A container with panal's image that mounts the storage and gets the credentials of a bucket."""
    run, stored = world.run, storage(world.run)
    needs, model, export = stored.reporter(run), run.status.model, run.status.export
    env = {
        "PANAL_NAMESPACE": run.namespace,
        "PANAL_RUN": run.name,
        "PANAL_RUN_UID": run.uid,
        "PANAL_STORAGE_DIR": names.STORAGE_DIR,
        "PANAL_STORAGE_URI": stored.uri(run),
        "PANAL_STORAGE_PATH": stored.folder(run),
        "PANAL_MODEL_FILE": model_file(run),
        "PANAL_MODEL_DIGEST": model.digest if model else "",
        "PANAL_EXPORT_DIGEST": export.digest if export else "",
        "PANAL_MODEL_DIR": MODEL_DIR,
        "PANAL_RESULTS_DIR": RESULTS_DIR,
        "HOME": "/",
    }
    mounts: list[Object] = [
        {"name": "storage", "mountPath": names.STORAGE_DIR} | ({"readOnly": True} if read_only else {}),
        {"name": "scratch", "mountPath": "/tmp"},
        mount,
        *({"name": volume, "mountPath": path, "readOnly": True} for volume, (_, path) in needs.volumes.items()),
    ]
    return ours(world, name, program, [*({"name": key, "value": value} for key, value in env.items()), *needs.env], mounts)


def ours(world: World, name: str, program: str, env: Sequence[Object], mounts: Sequence[Object]) -> Object:
    """A container with panal's image."""
    return pods.secured(
        {
            "name": name,
            "image": world.images.pod_tools,
            "imagePullPolicy": world.images.pull_policy,
            "command": ["python3", "-m", program],
            "env": list(env),
            "volumeMounts": list(mounts),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "resources": pods.OUR_RESOURCES,
        }
    )


def model_file(run: Run) -> str:
    return run.status.model.uri.rpartition("/")[2] if run.status.model else ""


def variables(run: Run) -> dict[str, str]:
    """Where a user's container finds the model, as `panal notebook` says it."""
    files = {"PANAL_MODEL": model_file(run), "PANAL_METADATA": "metadata.json", "PANAL_HISTORY": "history.jsonl"}
    exported = {"PANAL_EXPORT": names.EXPORT_FOLDER} if run.status.export else {}
    return {name: f"{MODEL_DIR}/{file}" for name, file in (files | exported).items()}


def beside(run: Run, file: str) -> str:
    """The URI of a file in the run's folder."""
    return f"{run.status.model.uri.rpartition('/')[0]}/{file}" if run.status.model else ""
