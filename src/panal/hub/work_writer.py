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
from panal.kube.loop import PAUSE
from panal.kube.objects import Key, Object, key_of, labels_of, uid_of
from panal.lifecycle.collaborator_pod import Common, Site
from panal.lifecycle.collaborators import Works
from panal.lifecycle.world import Refusal

AT_ONCE = 16  # concurrent writes; works of different clusters are independent
SLICE = 0.6  # seconds of writing, after which the run is reconciled again: it may have changed meanwhile
OUTAGES = 3  # failures of the API server after which no further write begins
LAG = 30.0  # seconds in which the watch cache must have a write
TURN = 500  # works that are known to be up to date, between which other tasks get their turn
COMPARISON = 25  # known works take as long as one that is compared
TRANSIENT = (0, 401, 429, 500, 502, 503, 504)  # status codes (0: no response) that do not concern the object


@dataclass(frozen=True, slots=True)
class Applied:
    """`refused`: what the hub refused. `added`: clusters that got a work. `more`: some works remain to be written. `look_again`: seconds
    until the API server may answer again, or until the watch cache must have what was written; None if nothing is awaited."""

    refused: tuple[Refusal, ...] = ()
    added: tuple[ClusterName, ...] = ()
    more: bool = False
    look_again: float | None = None


@dataclass(slots=True)
class _Known:
    """A work that is up to date for `site`: its uid and generation, when it was written (None if it was found so), and the object in the
    cache that showed that, if any did."""

    site: Site
    uid: str
    generation: int
    written: float | None
    seen: Object | None = None

    def is_in(self, live: Object) -> bool:
        return uid_of(live) == self.uid and live["metadata"]["generation"] == self.generation


@dataclass(slots=True)
class _Run:
    """`awaited`: the cache does not have all works that were written."""

    uid: str
    common: Common
    known: dict[ClusterName, _Known] = field(default_factory=dict)
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class _Due:
    site: Site
    wanted: Object
    exists: bool


@dataclass(slots=True)
class _Done:
    """What a call has done: refusals, clusters that got a work, errors of an API server that is unavailable, and the number of writes."""

    refused: list[Refusal] = field(default_factory=list)
    added: list[ClusterName] = field(default_factory=list)
    outages: list[KubeError] = field(default_factory=list)
    written: int = 0


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
        KubeError if the API server was unavailable and no work was written."""
        run = self._run(works)
        run.awaited = False
        waiting = {refusal.namespace: (number, refusal) for number, refusal in enumerate(before, start=1)}
        sites = iter(sorted(works.sites, key=lambda site: waiting[site.cluster][0] if site.cluster in waiting else 0))
        done = await self._write_all(run, works, sites)
        rest = [site.cluster for site in sites]
        kept = [waiting[cluster][1] for cluster in rest if cluster in waiting]
        refused, added = (*kept, *done.refused), tuple(done.added)
        if done.outages:
            return Applied(refused, added, more=True, look_again=max(PAUSE, done.outages[0].retry_after or 0.0))
        return Applied(refused, added, more=len(kept) < len(rest), look_again=LAG if run.awaited else None)

    def _run(self, works: Works) -> _Run:
        wanted = works.common.run
        key = Key(wanted.namespace, wanted.name)
        found = self._runs.get(key)
        if found is None or found.uid != wanted.uid or found.common != works.common:
            found = self._runs[key] = _Run(wanted.uid, works.common)
        return found

    def _due(self, run: _Run, works: Works, sites: Iterable[Site]) -> Iterator[_Due | None]:
        """The works that must be written, and None for each turn of other tasks."""
        name, labels, looked = works.name, works.labels.items(), 0
        for site in sites:
            if looked >= TURN:
                looked = 0
                yield None
            looked += 1
            live = self._cache.get(kinds.MANIFEST_WORK, site.cluster, name)
            known = run.known.get(site.cluster)
            if known is not None and known.site == site:
                if known.seen is live is not None:
                    continue
                if live is not None and known.is_in(live) and labels <= labels_of(live).items():
                    known.seen = live
                    continue
                if self._is_awaited(known, live):
                    run.awaited = True
                    continue
            stored = whole(live) if live else None
            wanted = stamped(works.render(site, manifests(stored) if stored else ()))
            if live is None or needs_apply(wanted, stored):
                yield _Due(site, wanted, live is not None)
                continue
            run.known[site.cluster] = _Known(site, uid_of(live), live["metadata"]["generation"], None, live)
            looked += COMPARISON

    def _is_awaited(self, known: _Known, live: Object | None) -> bool:
        """Whether a work was written recently, and the cache does not have it yet."""
        if known.written is None or self._clock.monotonic() - known.written >= LAG:
            return False
        return live is None or (uid_of(live) == known.uid and live["metadata"]["generation"] < known.generation)

    async def _write_all(self, run: _Run, works: Works, sites: Iterator[Site]) -> _Done:
        """Consumes `sites` for SLICE seconds, or until the API server is unavailable. Raises KubeError if no work was written before."""
        done = _Done()
        due = self._due(run, works, sites)
        end = self._clock.monotonic() + SLICE

        async def writer() -> None:
            while len(done.outages) < OUTAGES and self._clock.monotonic() < end:
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
                        done.refused.append(refusal(each.wanted, error))
                    else:
                        done.outages.append(error)
                    continue
                run.known[each.site.cluster] = _Known(each.site, uid_of(stored), stored["metadata"]["generation"], self._clock.monotonic())
                run.awaited = True
                done.written += 1
                if not each.exists:
                    done.added.append(each.site.cluster)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(writer())
        if done.outages and not done.written:
            raise done.outages[0]
        return done

    async def _write(self, due: _Due) -> Object:
        """Forces conflicts only for a work in the cache: another object of that name may be somebody else's."""
        if due.exists:
            return await self._client.apply(due.wanted, force=True)
        return await create(self._client, due.wanted)


async def create(client: Client, work: Object) -> Object:
    """Creates a work, which costs the API server half of a server-side apply. Raises Conflict if another object has its name."""
    try:
        return await client.create(work, brief=True)
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
