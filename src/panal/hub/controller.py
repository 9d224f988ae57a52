"""The controller's loop: observe a run, supply, decide and apply, whenever something changes.

The watch cache adds the keys of changed runs to a queue, and at most one worker has a key. Every failure is retried with a growing delay:
an outage of the hub, a missing permission or a conflict never ends a run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime

from panal.api.parse import ParseError, parse, parse_metadata
from panal.api.status import ENDED
from panal.hub import metrics
from panal.hub.apply import Applier, NotApplied
from panal.hub.observe import Observer
from panal.hub.supply import Supplier
from panal.hub.watched import RunKey, affected, affects_no_run, unfinished
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.kinds import Kind
from panal.kube.loop import Result, work
from panal.kube.objects import Object, labels_of, version_of
from panal.kube.queue import Waiting, WorkQueue
from panal.lifecycle import story
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Plan
from panal.lifecycle.refuse import refuse, removal
from panal.lifecycle.world import Refusal

log = logging.getLogger(__name__)

WORKERS = 4
SETTLE = 0.1  # seconds during which changes of one run are collected
LOST = 150.0  # seconds in which the cache must have a write: longer than a watch may be silent
SHARE = 4  # after a reconcile the run rests for SHARE times the computing time of it, which limits runs with thousands of clusters


def _count(result: Result) -> None:
    metrics.RECONCILES.labels(result).inc()


def utc_now() -> datetime:
    """The time to the second, as in Kubernetes' times."""
    return datetime.now(UTC).replace(microsecond=0)


class Controller:
    """`run` reconciles until it is cancelled. It needs a running `cache`, and starts when all kinds are synced, except those in `without`,
    which the hub does not have."""

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
        self._written: dict[RunKey, tuple[Object, float]] = {}  # the last written resource, until the cache has it, and when
        self._refused: dict[RunKey, tuple[Refusal, ...]] = {}  # the works that were refused in the last reconcile
        self._rests: dict[RunKey, float] = {}  # until when a run is not reconciled, by the monotonic clock

    async def run(self) -> None:
        self._cache.subscribe(self._on_change)
        await self._cache.wait_synced(*(kind for kind in self._cache.kinds() if kind not in self._without))
        for kind in (kinds.FEDERATED_LEARNING, kinds.MANIFEST_WORK):  # works of runs that were deleted while no controller was running
            for obj in self._cache.list(kind):
                self._on_change(kind, None, obj)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work(self._queue, self._timed, "run", count=_count))

    def waiting(self) -> Waiting:
        """The runs that wait to be reconciled."""
        return self._queue.waiting()

    def reconcile_all(self) -> None:
        """Reconciles every run that has not ended, after a change that no watched object shows."""
        for key in unfinished(self._cache, None):
            self._queue.add_after(key, SETTLE)

    def look_at_ended(self) -> None:
        """Reconciles every run that has ended: the hub can sign records now."""
        for run in self._cache.list(kinds.FEDERATED_LEARNING):
            if (run.get("status") or {}).get("phase") in ENDED:
                self._queue.add_after(RunKey(run["metadata"]["namespace"], run["metadata"]["name"]), SETTLE)

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if changed is None or affects_no_run(kind, old, new):
            return
        echo = self._echo(kind, new)
        if kind == kinds.MANIFEST_WORK and new is None:
            self._applier.works.forget(changed)
        relabelled = [old] if old is not None and new is not None and labels_of(old) != labels_of(new) else []  # it was another run's
        for obj in (changed, *relabelled):
            for key in affected(self._cache, kind, obj):
                if key == echo:
                    continue
                self._queue.add_after(key, max(SETTLE, self._resting(key)))

    def _echo(self, kind: Kind, new: Object | None) -> RunKey | None:
        """The run if the change is the controller's own status write, received by the watch: it affects only other runs, which wait for
        this one. Forgets the write, since the cache has it."""
        if kind != kinds.FEDERATED_LEARNING or new is None:
            return None
        key = RunKey(new["metadata"]["namespace"], new["metadata"]["name"])
        written, _ = self._written.get(key, (None, 0.0))
        if written is None or version_of(written) != version_of(new):
            return None
        self._written.pop(key)
        return key

    async def _timed(self, key: RunKey) -> float | None:
        if (rest := self._resting(key)) > 0:  # a change during the last reconcile has added the key
            return rest
        started = time.monotonic()
        try:
            return await self._reconcile(key)
        finally:
            metrics.SECONDS.observe(time.monotonic() - started)

    def _resting(self, key: RunKey) -> float:
        return max(0.0, self._rests.get(key, 0.0) - time.monotonic())

    async def _reconcile(self, key: RunKey) -> float | None:
        resource = self._newest(key)
        await self._remove_orphans(key, resource)
        if resource is None:
            for kept in (self._written, self._refused, self._rests):
                kept.pop(key, None)
            self._applier.works.forget_run(*key)
            return None
        before = self._refused.get(key, ())
        started = time.thread_time()
        decided = self._decision(resource)
        await asyncio.sleep(0)
        plan = decided(before)
        computing = time.thread_time() - started
        await asyncio.sleep(0)
        await self._applier.keep_evidence(plan, resource)
        applied = await self._applier.apply(plan, resource, before)
        self._refused[key] = tuple(r for r in applied.refused if r.kind == kinds.MANIFEST_WORK.kind)  # other objects are tried first
        if set(applied.refused) != set(before):  # decides again on the same World, with the refusals
            plan = decided(applied.refused)
        plan = replace(plan, events=(*story.added(applied.added), *plan.events))
        after = await self._applier.write_status(plan, resource)
        if after is not resource:
            self._written[key] = after, time.monotonic()
            self._log_status(key, resource.get("status") or {}, after["status"])
        await self._applier.finish(plan, after)
        if applied.more:
            return applied.look_again or 0.0
        self._rests[key] = time.monotonic() + SHARE * computing
        if applied.refused:
            raise NotApplied(applied.refused)
        return min((s for s in (plan.look_again, applied.look_again) if s is not None), default=None)

    async def _remove_orphans(self, key: RunKey, resource: Object | None) -> None:
        """Deletes works of a run that no longer exists. They remain if somebody has removed panal's finalizer from the run."""
        uid = resource["metadata"]["uid"] if resource else ""
        orphans = self._observer.works_of_others(key, uid)
        if orphans:
            log.warning("run %s/%s was deleted, but %d of its works remain: deleting them", *key, len(orphans))
            await self._applier.delete(removal(orphans, self._observer.cleanup_limit, self._now()))

    def _log_status(self, key: RunKey, before: Object, after: Object) -> None:
        shown = after["phase"], after.get("message", "")
        if shown != (before.get("phase"), before.get("message", "")):
            log.info("run %s/%s: %s: %s", *key, *shown)

    def _decision(self, resource: Object) -> Callable[[tuple[Refusal, ...]], Plan]:
        """A function from refusals to the Plan for the current state of the run. A resource that cannot be parsed, which only the CRD of
        another version can have admitted, gets a Plan that fails the run."""
        now = self._now()
        try:
            readable = parse(resource)
        except ParseError as error:
            metadata, message = parse_metadata(resource), (resource.get("status") or {}).get("message", "")
            works = [*self._observer.works(metadata), *self._observer.asking(metadata)]
            plan = refuse(metadata, message, error, works, self._observer.cleanup_limit, now)
            return lambda _: plan
        world = self._supplier.supply(self._observer.world(readable), now)
        return lambda refused: decide(replace(world, refused=refused), now)

    def _newest(self, key: RunKey) -> Object | None:
        """The resource in the cache, or the last written one if that is newer. A hub that was restored from a backup may have lost it."""
        cached, (written, since) = self._cache.get(kinds.FEDERATED_LEARNING, *key), self._written.get(key, (None, 0.0))
        if cached is None or written is None or cached["metadata"]["uid"] != written["metadata"]["uid"]:
            return cached
        if int(version_of(cached)) >= int(version_of(written)) or time.monotonic() - since > LOST:
            self._written.pop(key)
            return cached
        return written
