"""Writes the ManifestWorks of runs, in slices of time, and remembers which are up to date.

A work is compared with the desired one when its site's settings or its generation have changed since the last comparison or write, or its
labels differ; the generation increases when somebody changes the spec. So a reconcile of thousands of works that changes nothing renders
none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from panal.api.names import ClusterName
from panal.hub.difference import needs_apply, stamped
from panal.hub.works import manifests, whole
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.clock import Clock, SystemClock
from panal.kube.errors import AlreadyExists, ApiError, Invalid, KubeError
from panal.kube.objects import Key, Object, key_of, labels_of, uid_of
from panal.lifecycle.collaborator_pod import Common, Site
from panal.lifecycle.collaborators import Works
from panal.lifecycle.world import Refusal

AT_ONCE = 16  # concurrent writes; works of different clusters are independent
SLICE = 0.6  # seconds of writing, after which the run is reconciled again: it may have changed meanwhile
OUTAGES = 3  # failures of the API server after which no further write begins
LAG = 30.0  # seconds in which the watch cache must have a write
BATCH = 20  # comparisons between which other tasks get their turn
TRANSIENT = (0, 401, 429, 500, 502, 503, 504)  # status codes (0: no response) that do not concern the object


@dataclass(frozen=True, slots=True)
class Applied:
    """`refused`: what the hub refused. `added`: clusters that got a work. `more`: some works remain to be written."""

    refused: tuple[Refusal, ...] = ()
    added: tuple[ClusterName, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """A work that is up to date for `site`: its uid and generation, and when it was written; None if it was found so."""

    site: Site
    uid: str
    generation: int
    written: float | None


@dataclass(slots=True)
class _Run:
    uid: str
    common: Common
    known: dict[ClusterName, _Known] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Due:
    site: Site
    wanted: Object
    exists: bool


class WorkWriter:
    def __init__(self, client: Client, cache: Cache, clock: Clock | None = None) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock or SystemClock()
        self._runs: dict[Key, _Run] = {}

    def forget_run(self, namespace: str, name: str) -> None:
        self._runs.pop(Key(namespace, name), None)

    def forget(self, work: Object) -> None:
        """Forgets a work that was deleted, so that it is created again if it is still desired."""
        for run in self._runs.values():
            known = run.known.get(work["metadata"]["namespace"])
            if known and known.uid == uid_of(work):
                run.known.pop(known.site.cluster)

    async def write(self, works: Works, before: tuple[Refusal, ...] = ()) -> Applied:
        """Compares works, and writes those that are not up to date, for SLICE seconds. `before`: the refused works of the last call, which
        are tried last, in this order: those that the last call did not try come first. Every failure but an outage is a refusal. Raises
        KubeError if the API server was unavailable."""
        run = self._run(works)
        waiting = {refusal.namespace: (number, refusal) for number, refusal in enumerate(before, start=1)}
        sites = iter(sorted(works.sites, key=lambda site: waiting[site.cluster][0] if site.cluster in waiting else 0))
        refused, added = await self._write_all(run, works, sites)
        rest = [site.cluster for site in sites]
        kept = [waiting[cluster][1] for cluster in rest if cluster in waiting]
        return Applied((*kept, *refused), tuple(added), more=len(kept) < len(rest))

    def _run(self, works: Works) -> _Run:
        wanted = works.common.run
        key = Key(wanted.namespace, wanted.name)
        found = self._runs.get(key)
        if found is None or found.uid != wanted.uid or found.common != works.common:
            found = self._runs[key] = _Run(wanted.uid, works.common)
        return found

    def _due(self, run: _Run, works: Works, sites: Iterable[Site]) -> Iterator[_Due | None]:
        """The works that must be written. None after each BATCH of comparisons."""
        labels, compared = works.labels.items(), 0
        for site in sites:
            live = self._cache.get(kinds.MANIFEST_WORK, site.cluster, works.name)
            if self._is_known(run.known.get(site.cluster), site, live) and (live is None or labels <= labels_of(live).items()):
                continue
            stored = whole(live) if live else None
            wanted = stamped(works.render(site, manifests(stored) if stored else ()))
            if live is None or needs_apply(wanted, stored):
                yield _Due(site, wanted, live is not None)
                continue
            run.known[site.cluster] = _Known(site, uid_of(live), live["metadata"]["generation"], None)
            compared += 1
            if compared % BATCH == 0:
                yield None

    def _is_known(self, known: _Known | None, site: Site, live: Object | None) -> bool:
        """Whether the work is up to date. One that was written recently may be older in the cache, or not in it yet."""
        if known is None or known.site != site:
            return False
        if live is not None and uid_of(live) == known.uid and live["metadata"]["generation"] == known.generation:
            return True
        older = live is None or (uid_of(live) == known.uid and live["metadata"]["generation"] < known.generation)
        return older and known.written is not None and self._clock.monotonic() - known.written < LAG

    async def _write_all(self, run: _Run, works: Works, sites: Iterator[Site]) -> tuple[list[Refusal], list[ClusterName]]:
        """Consumes `sites` for SLICE seconds. Returns the refusals, and the clusters that got a work."""
        refused: list[Refusal] = []
        added: list[ClusterName] = []
        outages: list[KubeError] = []
        due = self._due(run, works, sites)
        end = self._clock.monotonic() + SLICE

        async def writer() -> None:
            while len(outages) < OUTAGES and self._clock.monotonic() < end:
                try:
                    each = next(due)
                except StopIteration:
                    return
                if each is None:
                    await asyncio.sleep(0)
                    continue
                try:
                    stored = await self._write(each)
                except KubeError as error:
                    if isinstance(error, ApiError) and not is_outage(error):
                        refused.append(refusal(each.wanted, error))
                    else:
                        outages.append(error)
                    continue
                run.known[each.site.cluster] = _Known(each.site, uid_of(stored), stored["metadata"]["generation"], self._clock.monotonic())
                if not each.exists:
                    added.append(each.site.cluster)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(writer())
        if outages:
            raise outages[0]
        return refused, added

    async def _write(self, due: _Due) -> Object:
        """Forces conflicts only for a work in the cache: another object of that name may be somebody else's."""
        if due.exists:
            return await self._client.apply(due.wanted, force=True)
        return await create(self._client, due.wanted)


async def create(client: Client, work: Object) -> Object:
    """Creates a work, which costs the API server half of a server-side apply. Raises Conflict if another object has its name."""
    try:
        return await client.create(work)
    except AlreadyExists:
        return await client.apply(work, force=False)


def is_outage(error: KubeError) -> bool:
    """Whether the error does not concern the object, as LeadershipLost does not. The failure of a webhook (500) concerns it: that must not
    prevent the write of the run's status."""
    if not isinstance(error, ApiError):
        return True
    return error.status in TRANSIENT and not (error.status == 500 and "webhook" in error.message)


def refusal(obj: Object, error: ApiError) -> Refusal:
    namespace, name = key_of(obj)
    return Refusal(obj["kind"], namespace, name, error.message, invalid=isinstance(error, Invalid))
