"""The controller's loop: observe a run, supply what that lacks, decide, and apply what was decided; again whenever something changes.

Changes come from the watch cache as keys into a queue, one worker at a time for a key. What fails is tried again with a growing wait,
whatever it was: a hub that is away for a minute, a permission that is missing for a while or a conflict is never the end of a run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime

from panal.api.parse import ParseError, parse, parse_metadata
from panal.hub import metrics
from panal.hub.apply import Applier, NotApplied
from panal.hub.observe import Observer
from panal.hub.supply import Supplier
from panal.hub.watched import RunKey, concerned, going, same_for_us
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.kinds import Kind
from panal.kube.loop import Result, work
from panal.kube.objects import Object
from panal.kube.queue import WorkQueue
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Plan
from panal.lifecycle.refuse import refuse, removal
from panal.lifecycle.world import Refusal

log = logging.getLogger(__name__)

WORKERS = 4
SETTLE = 0.2  # seconds for which changes of one run are gathered before it is looked at
SHARE = 4  # a run of thousands of clusters, which takes long to look at, is looked at less often: at most every SHARE times as long


def _count(result: Result) -> None:
    metrics.RECONCILES.labels(result).inc()


def utc_now() -> datetime:
    """To the second, as Kubernetes writes times."""
    return datetime.now(UTC).replace(microsecond=0)


class Controller:
    """`run` works until cancelled; `cache` must be running beside it, and begins when it has all kinds but those that the hub goes
    `without`."""

    def __init__(
        self,
        cache: Cache,
        observer: Observer,
        supplier: Supplier,
        applier: Applier,
        now: Callable[[], datetime] = utc_now,
        without: Collection[Kind] = (),
    ) -> None:
        self._cache = cache
        self._without = without
        self._observer = observer
        self._supplier = supplier
        self._applier = applier
        self._now = now
        self._queue: WorkQueue[RunKey] = WorkQueue()
        self._written: dict[RunKey, Object] = {}  # our last write of a run, while the cache does not have it yet
        self._refused: dict[RunKey, tuple[Refusal, ...]] = {}  # what was not applied when it was tried last
        self._took: dict[RunKey, float] = {}  # seconds of the last look

    async def run(self) -> None:
        self._cache.subscribe(self._on_change)
        await self._cache.wait_synced(*(kind for kind in self._cache.kinds() if kind not in self._without))
        for kind in (kinds.FEDERATED_LEARNING, kinds.MANIFEST_WORK):  # works of runs that went while no controller was there
            for obj in self._cache.list(kind):
                self._on_change(kind, None, obj)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work(self._queue, self._timed, "run", min_delay=SETTLE, count=_count))

    def look_at_all(self) -> None:
        """Something that concerns every run that has not ended has changed, and no object tells."""
        for key in going(self._cache, None):
            self._queue.add_after(key, SETTLE)

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if changed is None or same_for_us(kind, old, new) or self._is_echo(kind, new):
            return
        for key in concerned(self._cache, kind, changed):
            self._queue.add_after(key, max(SETTLE, SHARE * self._took.get(key, 0.0)))

    def _is_echo(self, kind: Kind, new: Object | None) -> bool:
        """Our own write of a status, as the watch brings it back."""
        if kind != kinds.FEDERATED_LEARNING or new is None:
            return False
        written = self._written.get(RunKey(new["metadata"]["namespace"], new["metadata"]["name"]))
        return written is not None and written["metadata"]["resourceVersion"] == new["metadata"]["resourceVersion"]

    async def _timed(self, key: RunKey) -> float | None:
        started = time.monotonic()
        try:
            return await self._reconcile(key)
        finally:
            self._took[key] = time.monotonic() - started
            metrics.SECONDS.observe(self._took[key])

    async def _reconcile(self, key: RunKey) -> float | None:
        resource = self._newest(key)
        await self._remove_orphans(key, resource)
        if resource is None:
            for kept in (self._written, self._refused, self._took):
                kept.pop(key, None)
            return None
        known, decided = self._refused.get(key, ()), self._decision(resource)
        plan = decided(known)
        refused = await self._applier.make(plan, resource)
        if refused != known:  # the same look at the run, with what came of it
            self._refused[key] = refused
            plan = decided(refused)
        after = await self._applier.finish(plan, resource)
        if after is not resource:
            self._written[key] = after
            self._tell(key, resource.get("status") or {}, after["status"])
        if refused:
            raise NotApplied(refused)
        return plan.look_again

    async def _remove_orphans(self, key: RunKey, resource: Object | None) -> None:
        """Works of a run that is not there any more, although our finalizer should have seen to them: somebody took it off."""
        uid = resource["metadata"]["uid"] if resource else ""
        orphans = self._observer.works_of_others(key, uid)
        if orphans:
            log.warning("run %s/%s is gone, but %d of its works are left: removing them", *key, len(orphans))
            await self._applier.delete(removal(orphans, self._observer.cleanup_limit, self._now()))

    def _tell(self, key: RunKey, before: Object, after: Object) -> None:
        said = after["phase"], after.get("message", "")
        if said != (before.get("phase"), before.get("message", "")):
            log.info("run %s/%s: %s: %s", *key, *said)

    def _decision(self, resource: Object) -> Callable[[tuple[Refusal, ...]], Plan]:
        """The plan for the run as it is now, by what the hub's API server refuses of it. A resource that cannot be read, which only another
        version's CRD can have let in, fails with what is wrong."""
        now = self._now()
        try:
            readable = parse(resource)
        except ParseError as error:
            metadata, said = parse_metadata(resource), (resource.get("status") or {}).get("message", "")
            plan = refuse(metadata, said, error, self._observer.works(metadata.uid), self._observer.cleanup_limit, now)
            return lambda _: plan
        world = self._supplier.supply(self._observer.world(readable), now)
        return lambda refused: decide(replace(world, refused=refused), now)

    def _newest(self, key: RunKey) -> Object | None:
        """What the cache has, or our own last write where that is newer."""
        cached, written = self._cache.get(kinds.FEDERATED_LEARNING, *key), self._written.get(key)
        if cached is None or written is None or cached["metadata"]["uid"] != written["metadata"]["uid"]:
            return cached
        if int(cached["metadata"]["resourceVersion"]) >= int(written["metadata"]["resourceVersion"]):
            self._written.pop(key)
            return cached
        return written
