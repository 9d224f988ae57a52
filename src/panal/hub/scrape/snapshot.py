"""What a scrape is answered from: references to the objects in the watch cache, taken at once on the event loop.

The cache replaces an object that changes, and nobody changes one, so a thread may read them while the cache goes on. Only the time of the
last round is kept, because no object has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.addon.authority import Times
from panal.api import names
from panal.hub.scrape.runs import RunState, is_shown
from panal.hub.views import run_uid
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.kinds import Kind
from panal.kube.objects import Object, uid_of
from panal.kube.queue import Waiting

Queues = Mapping[str, Callable[[], Waiting]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`runs`: those with series. `phases`: of all runs. `authorities`: the data of the ConfigMap with their public part."""

    runs: tuple[RunState, ...] = ()
    phases: tuple[str, ...] = ()
    addons: tuple[Object, ...] = ()
    clusters: frozenset[str] = frozenset()
    authorities: Mapping[str, str] = field(default_factory=dict)
    queues: Mapping[str, Waiting] = field(default_factory=dict)
    times: Times = field(default_factory=Times)


class Snapshots:
    """Subscribes to `cache`. `now`: the time with its zone."""

    def __init__(self, cache: Cache, namespace: str, times: Times, now: Callable[[], datetime]) -> None:
        self._cache = cache
        self._namespace = namespace
        self._times = times
        self._now = now
        self._queues: Queues | None = None
        self._rounds: dict[str, tuple[int, float]] = {}  # by uid of a run that is Running: its completed rounds, and since when
        cache.subscribe(self._on_change)

    def lead(self, queues: Queues | None) -> None:
        """This process is the leader from now on; with None no longer."""
        self._queues = queues

    def take(self) -> Snapshot | None:
        """None if this process is not the leader, or does not know all runs yet."""
        if self._queues is None or not self._cache.synced(kinds.FEDERATED_LEARNING, kinds.CONFIG_MAP, kinds.MANAGED_CLUSTER):
            return None
        cache, now = self._cache, self._now()
        runs = cache.list(kinds.FEDERATED_LEARNING)
        public = cache.get(kinds.CONFIG_MAP, self._namespace, names.AUTHORITIES) or {}
        return Snapshot(
            runs=tuple(self._state(run) for run in runs if is_shown(run, now)),
            phases=tuple((run.get("status") or {}).get("phase") or "Waiting" for run in runs),
            addons=tuple(cache.list(kinds.MANAGED_CLUSTER_ADDON)),
            clusters=frozenset(cluster["metadata"]["name"] for cluster in cache.list(kinds.MANAGED_CLUSTER)),
            authorities=public.get("data") or {},
            queues={name: waiting() for name, waiting in self._queues.items()},
            times=self._times,
        )

    def _state(self, run: Object) -> RunState:
        metadata: dict[str, Any] = run["metadata"]
        progress = self._cache.get(kinds.CONFIG_MAP, metadata["namespace"], names.progress(metadata["name"]))
        own = progress is not None and run_uid(progress) == metadata["uid"]
        traffic = (progress.get("data") or {}).get(names.KEY_TRAFFIC, "") if progress and own else ""
        _, since = self._rounds.get(metadata["uid"], (0, None))
        return RunState(run, traffic, since)

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        if kind != kinds.FEDERATED_LEARNING:
            return
        before, after = (uid_of(obj) if obj else "" for obj in (old, new))
        if before != after:
            self._rounds.pop(before, None)
        if new is None:
            return
        status = new.get("status") or {}
        completed = (status.get("rounds") or {}).get("completed", 0)
        if status.get("phase") != "Running":
            self._rounds.pop(after, None)
        elif after not in self._rounds or self._rounds[after][0] != completed:
            self._rounds[after] = completed, self._now().timestamp()
