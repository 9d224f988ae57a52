"""Jobs: runs one Pod, and another if it is deleted, or if spec.podFailurePolicy ignores its failure. When it succeeds or fails, or its
Job's spec.activeDeadlineSeconds are over, sets the condition Complete or Failed.

The counts are always those of the existing Pods: Pods that have ended are deleted only with their Job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from panal.kube.objects import Object, condition, holds, uid_of
from panal.kube.times import from_time, to_time
from panal_local.controllers.objects import deleting, phase, pod_of

SUPPORTED = {"completions": 1, "parallelism": 1, "suspend": False, "completionMode": "NonIndexed"}
LONGEST = 1 << 32  # seconds of a deadline, which may be more than a time can hold
UNSUPPORTED = ("successPolicy", "backoffLimitPerIndex", "maxFailedIndexes", "managedBy")


@dataclass(frozen=True, slots=True)
class Plan:
    """Pods to create, names of Pods to delete, the Job's new status, and the seconds until its deadline."""

    create: list[Object] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    look_again: float | None = None


def decide(job: Object, pods: Iterable[Object], now: datetime) -> Plan:
    """`pods` are those that the Job controls."""
    if deleting(job) or holds(job, "Complete") or holds(job, "Failed"):
        return Plan(status=job.get("status") or {})
    mine = list(pods)
    status = _counts(job, mine, now)
    running = [p for p in mine if phase(p) not in ("Succeeded", "Failed")]
    left = _left(job["spec"], status, now)
    if end := _end(job, mine, left):
        return _finish(status, end, running, now)
    if running:
        return Plan(status=status, look_again=left)
    return Plan(create=[_pod(job, len(mine))], status=status | {"active": 1}, look_again=left)


def _left(spec: Mapping[str, Any], status: Mapping[str, Any], now: datetime) -> float | None:
    """The seconds until the deadline; None without one."""
    seconds = spec.get("activeDeadlineSeconds")
    return None if seconds is None else (from_time(status["startTime"]) + timedelta(seconds=min(seconds, LONGEST)) - now).total_seconds()


def _counts(job: Object, pods: list[Object], now: datetime) -> dict[str, Any]:
    old = job.get("status") or {}
    active = [p for p in pods if phase(p) not in ("Succeeded", "Failed") and not deleting(p)]
    succeeded, failed = sum(phase(p) == "Succeeded" for p in pods), sum(_failed(job, p) for p in pods)
    counts = {"active": len(active), "succeeded": succeeded, "failed": failed}
    kept = {"conditions": old.get("conditions") or [], "startTime": old.get("startTime") or to_time(now)}
    ready = sum(holds(p, "Ready") for p in active)
    return kept | {name: number for name, number in counts.items() if number} | {"ready": ready, "terminating": 0}


def _end(job: Object, pods: list[Object], left: float | None) -> tuple[str, str, str] | None:
    """The condition Complete or Failed, its reason and message; None if the Job continues. There are no retries, so spec.backoffLimit has
    no effect."""
    spec = job["spec"]
    if holds(job, "FailureTarget"):  # its Pods were stopped, and may have failed thereby
        target = condition(job, "FailureTarget")
        return "Failed", target["reason"], target["message"]
    if unknown := [
        *(name for name, usual in SUPPORTED.items() if spec.get(name, usual) != usual),
        *(name for name in UNSUPPORTED if spec.get(name)),
        *(["podFailurePolicy"] if any(rule["action"] != "Ignore" or rule.get("onExitCodes") for rule in _rules(job)) else ()),
    ]:
        return "Failed", "NotSupported", f"The local platform runs one Pod after the other: leave out spec.{', spec.'.join(unknown)}"
    if any(phase(p) == "Succeeded" for p in pods):
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    if any(_failed(job, p) for p in pods):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if left is not None and left <= 0:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _failed(job: Object, pod: Object) -> bool:
    """Whether the Pod's failure is one of the Job."""
    ignored = (each for rule in _rules(job) for each in rule.get("onPodConditions") or ())
    return phase(pod) == "Failed" and not any(holds(pod, each["type"]) for each in ignored)


def _rules(job: Object) -> list[dict[str, Any]]:
    return (job["spec"].get("podFailurePolicy") or {}).get("rules") or []


def _finish(status: dict[str, Any], end: tuple[str, str, str], running: list[Object], now: datetime) -> Plan:
    """Sets the condition when no Pod is running; until then, stops the Pods."""
    kind, reason, message = end
    first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    conditions = _with_condition(status["conditions"], first, reason, message, now)
    if running:
        names = [p["metadata"]["name"] for p in running if not deleting(p)]
        return Plan(delete=names, status=status | {"conditions": conditions, "terminating": len(running)})
    conditions = _with_condition(conditions, kind, reason, message, now)
    done = {"completionTime": to_time(now)} if kind == "Complete" else {}
    return Plan(status=status | {"conditions": conditions} | done)


def _pod(job: Object, number: int) -> Object:
    """The name is derived from the number of earlier Pods, so that a Pod that is not in the cache yet is not created twice."""
    uid, name = uid_of(job), job["metadata"]["name"]
    suffix = hashlib.sha256(f"{uid} {number}".encode()).hexdigest()[:5]
    labels = {"batch.kubernetes.io/controller-uid": uid, "controller-uid": uid, "batch.kubernetes.io/job-name": name, "job-name": name}
    return pod_of(job["spec"]["template"], job, labels, name=f"{name[:57]}-{suffix}")


def _with_condition(conditions: list[dict[str, Any]], kind: str, reason: str, message: str, now: datetime) -> list[dict[str, Any]]:
    if any(c["type"] == kind and c["status"] == "True" for c in conditions):
        return conditions
    times = {"lastProbeTime": to_time(now), "lastTransitionTime": to_time(now)}
    fresh = {"type": kind, "status": "True", "reason": reason, "message": message} | times
    return [*(c for c in conditions if c["type"] != kind), fresh]
