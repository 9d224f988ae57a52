"""Binds each cluster to one Flower node: one certificate is one collaborator. Pure except for the clock.

A cluster has at most one node at a time. A second node is refused while the first is alive. One from the same Pod replaces the first,
because a Pod starts a SuperNode only after the previous one has ended. One from another Pod must wait until the first has deactivated
itself or has been silent for SILENT seconds. A live node is never silent for so long: it sends a heartbeat every 17.5 to 22.5 s, and polls
for messages every 3 s.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..codes import CLUSTER

SILENT = 30.0
JOINS, PERIOD = 60, 60.0  # registrations of a cluster per period in seconds; a crashing SuperNode needs one every 3 s
NEVER = float("-inf")
_CLUSTER = re.compile(CLUSTER)


class RefusedError(Exception):
    """A request is refused. `reason` is a code; the message names the cluster."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Caller:
    """The sender of a request: its cluster, proven by the certificate, and the id of its Pod as it claims, or empty."""

    cluster: str
    instance: str


@dataclass
class Bound:
    node: int
    instance: str
    heard: float


def read_caller(clusters: list[str], instances: list[str]) -> Caller:
    """The Caller from the values of the two headers. Raises RefusedError unless there is exactly one valid cluster."""
    if len(clusters) != 1 or not _CLUSTER.fullmatch(clusters[0]):
        raise RefusedError("NoCluster", f"the request carries {clusters or 'no cluster'}: it did not come through the gateway")
    return Caller(clusters[0], instances[0][:64] if len(instances) == 1 else "")


class Bindings:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bound: dict[str, Bound] = {}
        self._ever: dict[int, str] = {}  # every node that ever joined, with its cluster
        self._joins: dict[str, deque[float]] = {}  # times of the last registrations of each cluster

    def may_join(self, caller: Caller) -> None:
        with self._lock:
            self._refuse_second(caller)
            asked = self._joins.setdefault(caller.cluster, deque(maxlen=JOINS))
            if len(asked) == JOINS and self._clock() - asked[0] < PERIOD:
                raise RefusedError("TooOften", f"{caller.cluster} has registered {JOINS} nodes within {PERIOD:.0f} s")
            asked.append(self._clock())

    def join(self, caller: Caller, node: int) -> int | None:
        """Binds the cluster to `node`. Returns the node that it replaces, if any. Raises RefusedError."""
        with self._lock:
            self._refuse_second(caller, node)
            if self._ever.get(node, caller.cluster) != caller.cluster:
                raise RefusedError("ForeignNode", f"{caller.cluster} names the node {node} of another cluster")
            before = self._bound.get(caller.cluster)
            self._bound[caller.cluster] = Bound(node, caller.instance, self._clock())
            self._ever[node] = caller.cluster
            return before.node if before is not None and before.node != node else None

    def check(self, caller: Caller, node: int) -> None:
        """Checks that `node` belongs to the cluster, and notes that it is alive. Raises RefusedError."""
        with self._lock:
            bound = self._bound.get(caller.cluster)
            if bound is None or bound.node != node:
                known = self._ever.get(node)
                what = "of another cluster" if known not in (None, caller.cluster) else "that was replaced" if known else "that is unknown"
                raise RefusedError("ForeignNode", f"{caller.cluster} names a node {what}: {node}")
            bound.heard = self._clock()

    def hear(self, cluster: str) -> int | None:
        """Notes that bytes of the cluster arrive. Returns its node, if it has one."""
        with self._lock:
            if (bound := self._bound.get(cluster)) is None:
                return None
            if bound.heard != NEVER:
                bound.heard = self._clock()
            return bound.node

    def heard_within(self, seconds: float) -> list[int]:
        """The nodes that were heard in the last seconds."""
        with self._lock:
            return [bound.node for bound in self._bound.values() if self._clock() - bound.heard <= seconds]

    def nodes(self) -> dict[str, int]:
        with self._lock:
            return {cluster: bound.node for cluster, bound in self._bound.items()}

    def node_of(self, cluster: str) -> int | None:
        with self._lock:
            bound = self._bound.get(cluster)
            return bound.node if bound else None

    def cluster_of(self, node: int) -> str:
        """The cluster of a node, also of a previous one; empty if it is unknown."""
        with self._lock:
            return self._ever.get(node, "")

    def forget(self, cluster: str) -> None:
        """Removes the cluster's node. The cluster may join again."""
        with self._lock:
            self._bound.pop(cluster, None)

    def leave(self, caller: Caller, node: int) -> None:
        """The node has deactivated itself: another may join at once."""
        with self._lock:
            bound = self._bound.get(caller.cluster)
            if bound is not None and bound.node == node:
                bound.heard = NEVER

    def _refuse_second(self, caller: Caller, node: int | None = None) -> None:
        bound = self._bound.get(caller.cluster)
        if bound is None or bound.node == node or (caller.instance and caller.instance == bound.instance):
            return
        silent = self._clock() - bound.heard
        if silent < SILENT:
            what = "a collaborator with this certificate is connected already"
            raise RefusedError("SecondCollaborator", f"{caller.cluster}: {what}, and was heard {silent:.0f} s ago")
