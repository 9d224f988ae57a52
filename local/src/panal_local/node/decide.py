"""Which containers of a Pod start or stop next, in the order of a kubelet (pure).

Init containers run one after another. A sidecar (an init container with restartPolicy Always) must have started before the next one runs,
and keeps running. Then all main containers start. When no main container will run again, the sidecars stop, the last one first, and the Pod
has ended. A deleted Pod stops its main containers before its sidecars. A failed container restarts with a growing delay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from panal_local.node.records import Attempt

LONGEST_DELAY = 300.0  # seconds
HEALTHY = 600.0  # seconds; a container that ran longer restarts without a delay

Role = Literal["init", "sidecar", "main"]
Policy = Literal["Always", "OnFailure", "Never"]


@dataclass(frozen=True, slots=True)
class Container:
    """`attempts`: oldest first. `started`: the startup probe has succeeded, or there is none. `ready`: the result of the readiness
    probe."""

    name: str
    role: Role
    policy: Policy
    attempts: Sequence[Attempt] = ()
    started: bool = False
    ready: bool = False

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def running(self) -> bool:
        return self.last is not None and self.last.running

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last attempt; None while it runs, or before the first."""
        return self.last.ended.code if self.last and self.last.ended else None

    @property
    def final(self) -> bool:
        """The container has ended and will not restart."""
        code = self.exit_code
        return code is not None and (self.policy == "Never" or (code == 0 and self.policy == "OnFailure"))


@dataclass(slots=True)
class Plan:
    """`waits`: when delayed containers start, in seconds since 1970. `over`: no container runs or will run."""

    start: list[str] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    waits: dict[str, float] = field(default_factory=dict)
    over: bool = False


def decide(containers: Sequence[Container], now: float, *, ending: bool, first_delay: float = 10.0) -> Plan:
    """`containers` are in the order of the spec, init containers first. `ending`: the Pod is deleted or has ended. `now` is in seconds
    since 1970, `first_delay` in seconds."""
    plan = Plan()
    mains = [c for c in containers if c.role == "main"]
    if ending or finished(containers):
        _end(containers, plan)
    elif any(c.attempts for c in mains):
        for c in containers:
            if c.role != "init":
                _keep_running(c, plan, now, first_delay)
    else:
        _initialize(containers, plan, now, first_delay)
    return plan


def finished(containers: Sequence[Container]) -> bool:
    """Whether all main containers have ended, or an init container has failed finally; sidecars may still run."""
    failed = any(c.role == "init" and c.final and c.exit_code for c in containers)
    return failed or all(c.final for c in containers if c.role == "main")


def initialized(containers: Sequence[Container]) -> bool:
    """Whether the main containers can start or have started."""
    if any(c.attempts for c in containers if c.role == "main"):
        return True
    return all(_done(c) for c in containers if c.role != "main")


def _done(container: Container) -> bool:
    """Whether the next init container can start."""
    return container.running and container.started if container.role == "sidecar" else container.exit_code == 0


def _initialize(containers: Sequence[Container], plan: Plan, now: float, first_delay: float) -> None:
    for c in containers:
        if c.role == "main":
            plan.start.append(c.name)
        elif not _done(c) or c.role == "sidecar":
            _keep_running(c, plan, now, first_delay)
            if not _done(c):
                return


def _keep_running(container: Container, plan: Plan, now: float, first_delay: float) -> None:
    if container.running or container.final:
        return
    due = starts_at(container, first_delay)
    if due <= now:
        plan.start.append(container.name)
    else:
        plan.waits[container.name] = due


def starts_at(container: Container, first_delay: float) -> float:
    """The time of the restart: at once after the first end, then after `first_delay` seconds, doubled each time."""
    if not container.last or not container.last.ended:
        return 0.0
    if container.last.ended.at - container.last.started > HEALTHY or container.last.number == 0:
        return container.last.ended.at
    delay = first_delay * 2.0 ** min(container.last.number - 1, 30)
    return container.last.ended.at + min(delay, LONGEST_DELAY)


def _end(containers: Sequence[Container], plan: Plan) -> None:
    others = [c.name for c in containers if c.role != "sidecar" and c.running]
    sidecars = [c.name for c in containers if c.role == "sidecar" and c.running]
    plan.stop = others or sidecars[-1:]
    plan.over = not plan.stop
