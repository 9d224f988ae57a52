"""The status of a Pod, with the reasons and messages of a kubelet (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from panal.kube.objects import Object
from panal.kube.times import to_time
from panal_local.node.decide import Container, Plan, finished, initialized
from panal_local.node.records import Attempt

MESSAGE_BYTES, LOG_BYTES, LOG_LINES = 4096, 2048, 80
OURS = ("Initialized", "Ready", "ContainersReady", "PodReadyToStartContainers")


@dataclass(frozen=True, slots=True)
class Facts:
    """The node's observations of a Pod. `waiting`: reason and message of containers that cannot start; `digests`: by image."""

    ip: str
    host_ip: str
    started: float
    containers: Sequence[Container]
    plan: Plan
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    mounted: bool = True


def time_of(moment: float) -> str:
    return to_time(datetime.fromtimestamp(moment, UTC))


def pod_status(pod: Object, facts: Facts, now: float) -> dict[str, Any]:
    specs = {c["name"]: c for c in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])}
    statuses = {c.name: _container(specs[c.name], pod, c, facts) for c in facts.containers}
    found: dict[str, Any] = {
        "phase": phase(facts),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "podIP": facts.ip,
        "podIPs": [{"ip": facts.ip}],
        "startTime": time_of(facts.started),
        "conditions": _conditions(pod, facts, now),
        "containerStatuses": [statuses[c.name] for c in facts.containers if c.role == "main"],
    }
    inits = [statuses[c.name] for c in facts.containers if c.role != "main"]
    return found | ({"initContainerStatuses": inits} if inits else {})


def phase(facts: Facts) -> str:
    containers = facts.containers
    mains = [c for c in containers if c.role == "main"]
    if facts.plan.over:
        ended = [c for c in containers if c.role != "sidecar"]
        return "Succeeded" if all(c.exit_code == 0 for c in ended) else "Failed"
    return "Running" if any(c.attempts for c in mains) else "Pending"


def _conditions(pod: Object, facts: Facts, now: float) -> list[dict[str, Any]]:
    """The node's conditions, and those of other writers unchanged."""
    before = {c["type"]: c for c in pod.get("status", {}).get("conditions") or ()}
    unready = [c.name for c in facts.containers if c.role != "init" and not (c.running and c.ready)]
    done = finished(facts.containers)
    why = ("PodCompleted", "") if done else ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    incomplete = [c.name for c in facts.containers if c.role != "main"]
    wanted = {
        "PodReadyToStartContainers": (facts.mounted and not facts.plan.over, "", ""),
        "Initialized": (
            initialized(facts.containers),
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(incomplete)}]",
        ),
        "Ready": (not unready and not done, *why),
        "ContainersReady": (not unready and not done, *why),
    }
    kept = [c for c in before.values() if c["type"] not in OURS]
    return [*kept, *(_condition(before.get(t), t, *values, now) for t, values in wanted.items())]


def _condition(before: Mapping[str, Any] | None, type_: str, true: bool, reason: str, message: str, now: float) -> dict[str, Any]:
    status = "True" if true else "False"
    since = before["lastTransitionTime"] if before and before["status"] == status else time_of(now)
    words = {} if true else {k: v for k, v in (("reason", reason), ("message", message)) if v}
    return {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": since, **words}


# --- containers --------------------------------------------------------------------------------------------------
def _container(spec: Object, pod: Object, container: Container, facts: Facts) -> dict[str, Any]:
    last = container.last
    before = container.attempts[-2] if len(container.attempts) > 1 else None
    state = _state(spec, pod, container, facts)
    if last and "waiting" in state:
        before = last
    found: dict[str, Any] = {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": facts.digests.get(spec["image"], ""),
        "restartCount": last.number if last else 0,
        "state": state,
        "lastState": _terminated(spec, pod, before) if before else {},
        "ready": container.exit_code == 0 if container.role == "init" else container.running and container.ready,
        "started": container.running and container.started,
    }
    if last:
        found["containerID"] = container_id(pod, spec["name"], last)
    return found


def container_id(pod: Object, name: str, attempt: Attempt) -> str:
    return f"panal://{pod['metadata']['uid']}/{name}/{attempt.number}"


def _state(spec: Object, pod: Object, container: Container, facts: Facts) -> dict[str, Any]:
    last = container.last
    if last and last.running:
        return {"running": {"startedAt": time_of(last.started)}}
    if container.name in facts.plan.waits:
        message = f"back-off restarting failed container={spec['name']} pod={pod['metadata']['name']}_{pod['metadata']['namespace']}"
        return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    if container.name in facts.waiting:
        reason, message = facts.waiting[container.name]
        return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}
    if last:
        return _terminated(spec, pod, last)
    blocked = not facts.mounted if container.role != "main" else not initialized(facts.containers)
    return {"waiting": {"reason": "PodInitializing" if blocked else "ContainerCreating"}}


def _terminated(spec: Object, pod: Object, attempt: Attempt) -> dict[str, Any]:
    assert attempt.ended, "the attempt has not ended"
    ended = attempt.ended
    found = {
        "exitCode": ended.code,
        "reason": ended.reason or ("Completed" if ended.code == 0 else "Error"),
        "startedAt": time_of(attempt.started),
        "finishedAt": time_of(ended.at),
        "containerID": container_id(pod, spec["name"], attempt),
    }
    message = ended.message or termination_message(attempt, spec.get("terminationMessagePolicy", "File"), ended.code)
    return {"terminated": found | ({"message": message} if message else {})}


def termination_message(attempt: Attempt, policy: str, code: int) -> str:
    """The content of terminationMessagePath; for a failed container with FallbackToLogsOnError, otherwise the end of its log."""
    message = _tail(attempt, "termination", MESSAGE_BYTES)
    if message or code == 0 or policy != "FallbackToLogsOnError":
        return message
    return "\n".join(_tail(attempt, "log", LOG_BYTES).splitlines()[-LOG_LINES:])


def _tail(attempt: Attempt, name: str, size: int) -> str:
    try:
        with (attempt.folder / name).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
