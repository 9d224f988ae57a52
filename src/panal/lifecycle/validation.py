"""Whether a notebook approves the model: `spec.validation`, after the run is Completed.

A Job with four containers, one after the other. The first two are ours: the pod tools, and `model`, which copies the model out of the
storage and checks its digest. `notebook` has the user's image and executes the notebook; it mounts neither the storage nor a token. The
last one is ours again: `results` stores the executed notebook, the report and the metrics beside the model, and leaves the result as its
termination message.

The phase of the run does not change, and the model stays. The condition Validated is Unknown until the Job has ended, then True or False
for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from panal.api import names, validation
from panal.api.progress import finite, non_finite
from panal.api.text import shown
from panal.api.types import Condition, Phase, Spec, Status, StorageType, Validation, ValidationStatus
from panal.lifecycle import pods, refused
from panal.lifecycle.aggregator_state import newest
from panal.lifecycle.metadata import labels, owned
from panal.lifecycle.plan import Event, Plan, Ref
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.storage import storage
from panal.lifecycle.world import ContainerView, JobView, Object, PodView, Run, World

CONDITION = "Validated"
COPY, NOTEBOOK, RESULTS = "model", "notebook", "results"  # containers
MODEL_DIR, RESULTS_DIR = "/panal/model", "/panal/results"
RESULTS_LIMIT = "512Mi"  # of the volume to which the notebook's container writes
STARTING = timedelta(minutes=10)  # for images and volumes, and to copy the model
GRACE = timedelta(minutes=1)  # after which Kubernetes ends a Job that the controller should have deleted
LATE = timedelta(minutes=4)  # the cache of Pods may lag behind that of Jobs by this much
DEADLINE = "DeadlineExceeded"  # why a Job failed

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a pass finds. `result` is None until the notebook has been executed."""

    truth: Truth
    reason: Reason
    message: str
    result: validation.Result | None = None
    apply: tuple[Object, ...] = ()
    delete: tuple[Ref, ...] = ()
    look_again: float | None = None


def problem(spec: Spec) -> str:
    """What is wrong with the field; empty if nothing is."""
    bucket = spec.server.storage.type is StorageType.S3_BUCKET and spec.server.storage.s3
    if spec.validation and bucket and not bucket.secret_name:
        return "spec.validation: a bucket needs spec.server.storage.s3.secretName, because the identity of the run's Pod ends with the run"
    return ""


def after_end(world: World, plan: Plan, now: datetime) -> Plan:
    """Adds the validation to the plan of an ended run."""
    wanted = world.run.spec.validation
    if wanted is None or not _open(world.run.status):
        return plan
    found = _finding(world, wanted, now)
    status = _status(world, found, now)
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


def _open(status: Status) -> bool:
    """Whether there is a model whose validation has not ended."""
    decided = any(c.type == CONDITION and c.status != "Unknown" for c in status.conditions)
    return status.phase is Phase.COMPLETED and status.model is not None and not decided


# --- what has happened ------------------------------------------------------------------------------------------
def _finding(world: World, wanted: Validation, now: datetime) -> Finding:
    job = world.validation
    if job is None:
        return _without_job(world)
    if job.deleting:
        return _waiting("the former Job is being removed")
    pod = newest(job)
    containers = {each.name: each for each in pod.containers} if pod else {}
    last = containers.get(RESULTS)
    if last and last.exit_code == 0:
        return _result(last)
    overdue = f"it did not end within {wanted.timeout_seconds} s"
    if job.failed:
        return _failed((_trouble(pod) or overdue) if job.failure.startswith(DEADLINE) else _why(job, pod))
    limit = job.created + STARTING + timedelta(seconds=wanted.timeout_seconds)
    if job.succeeded:  # the Pod's status is late, or the Pod is gone
        left = (limit + LATE - now).total_seconds()
        return _waiting("the result is expected", 1.0) if left > 0 else _failed("the Pod with the result is gone")
    left = (limit - now).total_seconds()
    if left <= 0:
        return replace(
            _failed(_trouble(pod) or overdue),
            delete=(Ref("batch/v1", "Job", world.run.namespace, names.validation(world.run.name), job.uid),),
        )
    trouble = _trouble(pod)
    return _waiting(trouble or f"{wanted.notebook} of {wanted.image} is executed on the model", left + 0.1)


def _without_job(world: World) -> Finding:
    name = names.validation(world.run.name)
    refusal = next((each for each in world.refused if each.kind == "Job" and each.name == name), None)
    if refusal and refusal.invalid:
        return _failed(refused.by_the_hub(refusal).message)
    made = (_job(world),)
    return replace(_waiting(refused.by_the_hub(refusal).message if refusal else "the Job is created"), apply=made)


def _result(last: ContainerView) -> Finding:
    result = validation.read(last.message)
    if result is None:
        return _failed("its result cannot be read")
    if result.failure:
        return Finding("False", Reason.NOTEBOOK_FAILED, with_remedy(Reason.NOTEBOOK_FAILED, result.failure), result)
    return Finding("True", Reason.VALIDATED, "all cells of the notebook succeeded", result)


def _waiting(message: str, look_again: float | None = None) -> Finding:
    return Finding("Unknown", Reason.VALIDATING, message, look_again=look_again)


def _failed(message: str) -> Finding:
    return Finding("False", Reason.VALIDATION_FAILED, with_remedy(Reason.VALIDATION_FAILED, message))


def _why(job: JobView, pod: PodView | None) -> str:
    """Why the Job failed."""
    for container in pod.containers if pod else ():
        if container.exit_code:
            said = container.message.strip().splitlines()
            ending = f"container {container.name} ended with exit code {container.exit_code} ({container.terminated})"
            return f"{ending}: {shown(said[-1], 500)}" if said else ending
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
def _status(world: World, found: Finding, now: datetime) -> Status:
    old = world.run.status
    before = next((c for c in old.conditions if c.type == CONDITION), None)
    same = before is not None and before.status == found.truth
    condition = Condition(
        type=CONDITION,
        status=found.truth,
        reason=found.reason,
        message=shown(found.message, 1024),
        last_transition_time=before.last_transition_time if before and same else now,
        observed_generation=world.run.generation,
    )
    conditions = [*(c for c in old.conditions if c.type != CONDITION), condition]
    return old.model_copy(update={"conditions": conditions, "validation": _shown(world.run, found, now) or old.validation})


def _shown(run: Run, found: Finding, now: datetime) -> ValidationStatus | None:
    if found.result is None or run.status.model is None:
        return None
    folder = run.status.model.uri.rpartition("/")[0]
    report = f"{folder}/{validation.FOLDER}/{validation.REPORT}"
    metrics = found.result.metrics
    return ValidationStatus(metrics=finite(metrics), non_finite_metrics=non_finite(metrics), report=report, time=now)


def _events(found: Finding) -> tuple[Event, ...]:
    if found.truth == "Unknown":
        return ()
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in list(finite(found.result.metrics).items())[:3]) if found.result else ""
    message = f"{found.message}: {numbers}" if numbers and found.truth == "True" else found.message
    return (Event("Normal" if found.truth == "True" else "Warning", found.reason.value, message),)


# --- the Job ----------------------------------------------------------------------------------------------------
def _job(world: World) -> Object:
    run, wanted = world.run, world.run.spec.validation
    assert wanted is not None
    template = {"metadata": {"labels": labels(run, "validation")}, "spec": _pod(world)}
    seconds = wanted.timeout_seconds + round((STARTING + GRACE).total_seconds())
    spec = {"activeDeadlineSeconds": seconds, "backoffLimit": 0, "completions": 1, "parallelism": 1, "template": template}
    return owned(run, "batch/v1", "Job", names.validation(run.name), "validation") | {"spec": spec}


def _pod(world: World) -> dict[str, Any]:
    run = world.run
    needs = storage(run).reporter(run)
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": pods.security(world.open_shift),
        "initContainers": [pods.tools_container(world.images), _ours(world, COPY, "copy"), _notebook(world)],
        "containers": [_ours(world, RESULTS, "store")],
        "volumes": [
            *pods.empty_dirs("tools", "model", "tmp", "scratch"),
            *pods.memory_dirs("pod"),
            {"name": "results", "emptyDir": {"sizeLimit": RESULTS_LIMIT}},
            {"name": "storage", **storage(run).volume(run)},
            *({"name": name, **source} for name, (source, _) in needs.volumes.items()),
        ],
        **pods.scheduling(run.spec.server),
    }


def _ours(world: World, name: str, step: str) -> dict[str, Any]:
    """The model is copied with the storage mounted read-only. The results are stored by a container that mounts it to write."""
    run, stored = world.run, storage(world.run)
    needs, model = stored.reporter(run), run.status.model
    copies = step == "copy"
    env = {
        "PANAL_NAMESPACE": run.namespace,
        "PANAL_RUN": run.name,
        "PANAL_RUN_UID": run.uid,
        "PANAL_STORAGE_DIR": names.STORAGE_DIR,
        "PANAL_STORAGE_URI": stored.uri(run),
        "PANAL_STORAGE_PATH": stored.folder(run),
        "PANAL_MODEL_FILE": _model_file(run),
        "PANAL_MODEL_DIGEST": model.digest if model else "",
        "PANAL_MODEL_DIR": MODEL_DIR,
        "PANAL_RESULTS_DIR": RESULTS_DIR,
        "HOME": "/",
    }
    mounts: list[dict[str, Any]] = [
        {"name": "storage", "mountPath": names.STORAGE_DIR} | ({"readOnly": True} if copies else {}),
        {"name": "scratch", "mountPath": "/tmp"},
        {"name": "model", "mountPath": MODEL_DIR} if copies else {"name": "results", "mountPath": RESULTS_DIR, "readOnly": True},
        *({"name": volume, "mountPath": path, "readOnly": True} for volume, (_, path) in needs.volumes.items()),
    ]
    return pods.secured(
        {
            "name": name,
            "image": world.images.pod_tools,
            "imagePullPolicy": world.images.pull_policy,
            "command": ["python3", "-m", "panal.pod.validating", step],
            "env": [*({"name": key, "value": value} for key, value in env.items()), *needs.env],
            "volumeMounts": mounts,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "resources": pods.OUR_RESOURCES,
        }
    )


def _notebook(world: World) -> dict[str, Any]:
    run, wanted = world.run, world.run.spec.validation
    assert wanted is not None
    server = run.spec.server
    settings = server.model_copy(update={"env": wanted.env, "resources": wanted.resources})
    program = ["python3", f"{names.TOOLS_DIR}/run.py", "notebook", "execute"]
    files = [f"{RESULTS_DIR}/{validation.EXECUTED}", f"{RESULTS_DIR}/{validation.REPORT}"]
    container: dict[str, Any] = {
        "name": NOTEBOOK,
        "image": wanted.image,
        "command": [*program, wanted.notebook, *files, "0", str(wanted.timeout_seconds)],
        "env": [{"name": name, "value": value} for name, value in _variables(run).items()],
        "volumeMounts": [
            {"name": "tools", "mountPath": names.TOOLS_DIR, "readOnly": True},
            {"name": "model", "mountPath": MODEL_DIR, "readOnly": True},
            {"name": "results", "mountPath": RESULTS_DIR},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if server.image_pull_policy:
        container["imagePullPolicy"] = server.image_pull_policy
    return pods.with_settings(container, settings)


def _variables(run: Run) -> Mapping[str, str]:
    """As `panal notebook` sets them."""
    files = {"PANAL_MODEL": _model_file(run), "PANAL_METADATA": "metadata.json", "PANAL_HISTORY": "history.jsonl"}
    return {name: f"{MODEL_DIR}/{file}" for name, file in files.items()}


def _model_file(run: Run) -> str:
    return run.status.model.uri.rpartition("/")[2] if run.status.model else ""
