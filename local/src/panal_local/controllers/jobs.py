"""Jobs: Pods until enough have succeeded or too many failed, then a condition that says which, and in time the Job's removal.

The counts are taken again from the Pods that are there each time, for Pods that ended go only with their Job: so nothing is counted twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from panal.kube.objects import Object, holds, uid_of
from panal.kube.times import from_time, to_time
from panal_local.controllers.objects import deleting, phase, pod_of

DELAYS = (10.0, 360.0)  # seconds before the Pod after the first failure, doubled with each, and at most


@dataclass(frozen=True, slots=True)
class Plan:
    """Pods to make and to delete (by name), the Job's new status, whether the Job itself goes, and when to look again."""

    create: list[Object] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    remove: bool = False
    look_again: float | None = None


def decide(job: Object, pods: Iterable[Object], now: datetime) -> Plan:
    """`pods` are those that the Job controls."""
    if deleting(job):
        return Plan(status=job.get("status") or {})
    if holds(job, "Complete") or holds(job, "Failed"):
        return _ended(job, now)
    spec, mine = job["spec"], list(pods)
    succeeded = [p for p in mine if phase(p) == "Succeeded"]
    failed = [p for p in mine if phase(p) == "Failed"]
    active = [p for p in mine if phase(p) not in ("Succeeded", "Failed") and not deleting(p)]
    status = _counts(job, active, succeeded, failed, now)
    if spec.get("suspend"):
        return Plan(delete=_names(active), status=_suspended(status, now))
    end = _end(spec, status, len(succeeded), _failures(failed, active), now)
    if end:
        return _finish(status, end, mine, active, now)
    return _go_on(job, status, mine, active, now)


def _counts(job: Object, active: list[Object], succeeded: list[Object], failed: list[Object], now: datetime) -> dict[str, Any]:
    old = job.get("status") or {}
    kept = {key: old[key] for key in ("conditions", "startTime", "completionTime") if key in old}
    if not job["spec"].get("suspend"):
        kept.setdefault("startTime", to_time(now))
        kept["conditions"] = [c for c in kept.get("conditions", []) if c["type"] != "Suspended"]
    counts = {"active": len(active), "succeeded": len(succeeded), "failed": len(failed)}
    ready = sum(holds(p, "Ready") for p in active)
    return kept | {name: number for name, number in counts.items() if number} | {"ready": ready, "terminating": 0}


def _failures(failed: list[Object], active: list[Object]) -> int:
    """Of a Pod that restarts its containers itself, each restart counts."""
    restarts: list[int] = [c.get("restartCount", 0) for p in active for c in (p.get("status") or {}).get("containerStatuses") or ()]
    return len(failed) + sum(restarts)


def _end(spec: dict[str, Any], status: dict[str, Any], succeeded: int, failures: int, now: datetime) -> tuple[str, str, str] | None:
    """(Complete or Failed, reason, message)."""
    if succeeded >= _completions(spec):
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    if failures > spec.get("backoffLimit", 6):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = _deadline_in(spec, status, now)
    if left is not None and left <= 0:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _completions(spec: dict[str, Any]) -> int:
    found: int | None = spec.get("completions")
    return 1 if found is None else found


def _finish(status: dict[str, Any], end: tuple[str, str, str], pods: list[Object], active: list[Object], now: datetime) -> Plan:
    """The condition is set only when no Pod runs any more."""
    kind, reason, message = end
    first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    conditions = _with(status["conditions"], first, reason, message, now)
    running = [p for p in pods if phase(p) not in ("Succeeded", "Failed")]
    if running:
        return Plan(delete=_names(active), status=status | {"conditions": conditions, "terminating": len(running)})
    conditions = _with(conditions, kind, reason, message, now)
    done = {"completionTime": to_time(now)} if kind == "Complete" else {}
    return Plan(status=status | {"conditions": conditions} | done)


def _go_on(job: Object, status: dict[str, Any], pods: list[Object], active: list[Object], now: datetime) -> Plan:
    spec = job["spec"]
    wanted = min(spec.get("parallelism", 1), _completions(spec) - status.get("succeeded", 0))
    missing = wanted - len(active)
    look_again = _deadline_in(spec, status, now)
    if missing <= 0:
        return Plan(status=status, look_again=look_again)
    wait = _wait([p for p in pods if phase(p) == "Failed"], now)
    if wait > 0:
        return Plan(status=status, look_again=min(wait, look_again or wait))
    made = [_pod(job, len(pods) + number) for number in range(missing)]
    return Plan(create=made, status=status | {"active": wanted}, look_again=look_again)


def _wait(failed: list[Object], now: datetime) -> float:
    if not failed:
        return 0.0
    ended = max(_ended_at(p) for p in failed)
    delay = min(DELAYS[0] * 2.0 ** (len(failed) - 1), DELAYS[1])
    return float((ended + timedelta(seconds=delay) - now).total_seconds())


def _ended_at(pod: Object) -> datetime:
    states = [(c.get("state") or {}).get("terminated") or {} for c in (pod.get("status") or {}).get("containerStatuses") or ()]
    times = [from_time(s["finishedAt"]) for s in states if s.get("finishedAt")]
    return max(times, default=from_time(pod["metadata"]["creationTimestamp"]))


def _deadline_in(spec: dict[str, Any], status: dict[str, Any], now: datetime) -> float | None:
    limit, started = spec.get("activeDeadlineSeconds"), status.get("startTime")
    return (from_time(started) + timedelta(seconds=limit) - now).total_seconds() if limit is not None and started else None


def _pod(job: Object, number: int) -> Object:
    """The name follows from the number of Pods there were before, so a Pod that the cache does not know yet is not made twice."""
    uid, name = uid_of(job), job["metadata"]["name"]
    suffix = hashlib.sha256(f"{uid} {number}".encode()).hexdigest()[:5]
    labels = {"batch.kubernetes.io/controller-uid": uid, "controller-uid": uid, "batch.kubernetes.io/job-name": name, "job-name": name}
    return pod_of(job["spec"]["template"], job, labels, name=f"{name[:57]}-{suffix}")


def _suspended(status: dict[str, Any], now: datetime) -> dict[str, Any]:
    known = status.get("conditions", [])
    status = {key: value for key, value in status.items() if key not in ("startTime", "active")}
    return status | {"conditions": _with(known, "Suspended", "JobSuspended", "Job suspended", now)}


def _ended(job: Object, now: datetime) -> Plan:
    """Kept until its time to live is over."""
    status = job.get("status") or {}
    limit = job["spec"].get("ttlSecondsAfterFinished")
    if limit is None:
        return Plan(status=status)
    ended = max(from_time(c["lastTransitionTime"]) for c in status["conditions"] if c["type"] in ("Complete", "Failed"))
    left = (ended + timedelta(seconds=limit) - now).total_seconds()
    return Plan(status=status, remove=left <= 0, look_again=left if left > 0 else None)


def _with(conditions: list[dict[str, Any]], kind: str, reason: str, message: str, now: datetime) -> list[dict[str, Any]]:
    if any(c["type"] == kind and c["status"] == "True" for c in conditions):
        return conditions
    times = {"lastProbeTime": to_time(now), "lastTransitionTime": to_time(now)}
    fresh = {"type": kind, "status": "True", "reason": reason, "message": message} | times
    return [*(c for c in conditions if c["type"] != kind), fresh]


def _names(pods: Iterable[Object]) -> list[str]:
    return [p["metadata"]["name"] for p in pods if not deleting(p)]
