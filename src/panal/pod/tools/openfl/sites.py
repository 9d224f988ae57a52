"""What the aggregator knows of the sites: who was heard of, and how far each is with the current round."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ALIVE = 20.0  # seconds after a sign of life in which a site counts as connected; collaborators give one every few seconds


@dataclass
class Progress:
    """A cluster in the current round: when it got its tasks or sent the last results, and the seconds of each task."""

    last: float
    seconds: dict[str, float] = field(default_factory=dict)


class Sites:
    """Safe for threads. `participants` are the clusters that take part now; None until they are known."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.participants: frozenset[str] | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._progress: dict[str, Progress] = {}

    def take_part(self, cluster: str) -> bool:
        return self.participants is not None and cluster in self.participants

    def hear(self, cluster: str) -> None:
        with self._lock:
            self._heard[cluster] = self._clock()

    def connected(self) -> frozenset[str]:
        """The participants that were heard of recently."""
        with self._lock:
            since = self._clock() - ALIVE
            return frozenset(c for c, heard in self._heard.items() if heard >= since and c in (self.participants or ()))

    def begin_round(self) -> None:
        with self._lock:
            self._failed, self._progress = {}, {}

    def started(self, cluster: str) -> None:
        """The cluster got its tasks."""
        with self._lock:
            self._progress.setdefault(cluster, Progress(self._clock()))

    def finished(self, cluster: str, task: str) -> None:
        """The cluster's results of a task were accepted."""
        with self._lock:
            now = self._clock()
            progress = self._progress.setdefault(cluster, Progress(now))
            progress.seconds[task] = now - progress.last
            progress.last = now

    def fail(self, cluster: str, reason: str) -> None:
        """The cluster contributes nothing more to this round. The first reason counts."""
        with self._lock:
            self._failed.setdefault(cluster, reason)

    def failed(self) -> dict[str, str]:
        with self._lock:
            return {cluster: reason for cluster, reason in self._failed.items() if cluster in (self.participants or ())}

    def at_work(self) -> frozenset[str]:
        """The participants that got tasks in this round."""
        with self._lock:
            return frozenset(self._progress.keys() & (self.participants or ()))

    def seconds(self) -> Mapping[str, Mapping[str, float]]:
        """By cluster and task."""
        with self._lock:
            return {cluster: dict(progress.seconds) for cluster, progress in self._progress.items()}
