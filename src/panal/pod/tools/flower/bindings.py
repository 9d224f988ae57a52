"""Which node speaks for which cluster: one certificate is one collaborator (pure but for the clock).

At any time at most one node of a cluster is let in. A second one is refused while the first is alive, unless it comes from the same Pod:
there the program that keeps a SuperNode running starts the next only when the last is dead, so that one takes its place at once. From
another Pod it has to wait until the first has said good-bye or has been silent for SILENT seconds, which a node that lives never is:
Flower's sends a heartbeat every 17.5 to 22.5 s, and asks for work every 3 s while it has none.
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
JOINS, PERIOD = 60, 60.0  # a SuperNode that ends again and again comes every 3 s
NEVER = float("-inf")
_CLUSTER = re.compile(CLUSTER)


class RefusedError(Exception):
    """`reason` is a code, the message a sentence that names the cluster."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Caller:
    """Who sends a request: the cluster that the certificate proves, and what the sender says of its Pod (empty: nothing)."""

    cluster: str
    instance: str


@dataclass
class Bound:
    node: int
    instance: str
    heard: float


def caller(clusters: list[str], instances: list[str]) -> Caller:
    """From the values of the two headers."""
    if len(clusters) != 1 or not _CLUSTER.fullmatch(clusters[0]):
        raise RefusedError("NoCluster", f"the request carries {clusters or 'no cluster'}: it did not come through the gateway")
    return Caller(clusters[0], instances[0][:64] if len(instances) == 1 else "")


class Bindings:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bound: dict[str, Bound] = {}
        self._ever: dict[int, str] = {}  # every node that was let in, by its id
        self._joins: dict[str, deque[float]] = {}  # of each cluster, when it asked for its last ones

    def may_join(self, who: Caller) -> None:
        with self._lock:
            self._refuse_second(who)
            asked = self._joins.setdefault(who.cluster, deque(maxlen=JOINS))
            if len(asked) == JOINS and self._clock() - asked[0] < PERIOD:
                raise RefusedError("TooOften", f"{who.cluster} has registered {JOINS} nodes within {PERIOD:.0f} s")
            asked.append(self._clock())

    def join(self, who: Caller, node: int) -> int | None:
        """From now on `node` speaks for the cluster; returns the one whose place it takes, which must not count any more."""
        with self._lock:
            self._refuse_second(who, node)
            if self._ever.get(node, who.cluster) != who.cluster:
                raise RefusedError("ForeignNode", f"{who.cluster} names the node {node} of another cluster")
            before = self._bound.get(who.cluster)
            self._bound[who.cluster] = Bound(node, who.instance, self._clock())
            self._ever[node] = who.cluster
            return before.node if before is not None and before.node != node else None

    def check(self, who: Caller, node: int) -> None:
        """A request in the name of `node`, which counts as a sign of life."""
        with self._lock:
            bound = self._bound.get(who.cluster)
            if bound is None or bound.node != node:
                known = self._ever.get(node)
                what = "of another cluster" if known not in (None, who.cluster) else "that was replaced" if known else "that is unknown"
                raise RefusedError("ForeignNode", f"{who.cluster} names a node {what}: {node}")
            bound.heard = self._clock()

    def nodes(self) -> dict[str, int]:
        with self._lock:
            return {cluster: bound.node for cluster, bound in self._bound.items()}

    def node_of(self, cluster: str) -> int | None:
        return self.nodes().get(cluster)

    def cluster_of(self, node: int) -> str:
        """Empty for a node that was never let in."""
        with self._lock:
            return self._ever.get(node, "")

    def forget(self, cluster: str) -> None:
        """It may come again, as if it had never been here."""
        with self._lock:
            self._bound.pop(cluster, None)

    def leave(self, who: Caller, node: int) -> None:
        """It has said good-bye: another may come at once."""
        with self._lock:
            bound = self._bound.get(who.cluster)
            if bound is not None and bound.node == node:
                bound.heard = NEVER

    def _refuse_second(self, who: Caller, node: int | None = None) -> None:
        bound = self._bound.get(who.cluster)
        if bound is None or bound.node == node or (who.instance and who.instance == bound.instance):
            return
        silent = self._clock() - bound.heard
        if silent < SILENT:
            what = "a collaborator with this certificate is connected already"
            raise RefusedError("SecondCollaborator", f"{who.cluster}: {what}, and was heard {silent:.0f} s ago")
