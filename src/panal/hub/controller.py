"""The controller's loop: observe a run, decide what it needs, apply that; again whenever something of it changes.

Changes come from the watch cache as keys into a queue, one worker at a time for a key. What fails is tried again with a growing wait,
whatever it was: a hub that is away for a minute, a permission that is missing for a while or a conflict is never the end of a run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from panal.api.parse import ParseError, parse
from panal.hub import metrics
from panal.hub.apply import Applier
from panal.hub.observe import Observer
from panal.hub.refuse import refuse
from panal.hub.watched import RunKey, concerned, same_for_us
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.errors import KubeError
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.kube.queue import WorkQueue
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Plan

log = logging.getLogger(__name__)

WORKERS = 4
SETTLE = 0.2  # seconds for which changes of one run are gathered before it is looked at


def utc_now() -> datetime:
    """To the second, as Kubernetes writes times."""
    return datetime.now(UTC).replace(microsecond=0)


class Controller:
    """`run` works until cancelled; `cache` must be running beside it."""

    def __init__(self, cache: Cache, observer: Observer, applier: Applier, now: Callable[[], datetime] = utc_now) -> None:
        self._cache = cache
        self._observer = observer
        self._applier = applier
        self._now = now
        self._queue: WorkQueue[RunKey] = WorkQueue()
        self._written: dict[RunKey, Object] = {}  # our last write of a run, while the cache does not have it yet

    async def run(self) -> None:
        self._cache.subscribe(self._on_change)
        await self._cache.wait_synced()
        for run in self._cache.list(kinds.FEDERATED_LEARNING):
            self._queue.add(RunKey(run["metadata"]["namespace"], run["metadata"]["name"]))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(self._worker())

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if changed is None or same_for_us(kind, old, new):
            return
        for key in concerned(self._cache, kind, changed):
            self._queue.add_after(key, SETTLE)

    async def _worker(self) -> None:
        while True:
            key = await self._queue.get()
            started = time.monotonic()
            try:
                look_again = await self._reconcile(key)
                self._queue.forget(key)
                if look_again is not None:
                    self._queue.add_after(key, max(look_again, SETTLE))
                metrics.RECONCILES.labels("ok").inc()
            except KubeError as error:
                wait = self._queue.retry(key)
                metrics.RECONCILES.labels("error").inc()
                log.warning("run %s/%s: %s (again in %.1f s)", *key, error, wait)
            except Exception:  # a defect of ours must not end the other runs
                wait = self._queue.retry(key)
                metrics.RECONCILES.labels("defect").inc()
                log.exception("run %s/%s: defect in the controller (again in %.1f s)", *key, wait)
            finally:
                metrics.SECONDS.observe(time.monotonic() - started)
                self._queue.done(key)

    async def _reconcile(self, key: RunKey) -> float | None:
        resource = self._newest(key)
        if resource is None:
            self._written.pop(key, None)
            return None
        plan = self._plan(resource)
        after = await self._applier.carry_out(plan, resource)
        if after is not resource:
            self._written[key] = after
            self._tell(key, resource.get("status") or {}, after["status"])
        return plan.look_again

    def _tell(self, key: RunKey, before: Object, after: Object) -> None:
        said = after["phase"], after.get("message", "")
        if said != (before.get("phase"), before.get("message", "")):
            log.info("run %s/%s: %s: %s", *key, *said)

    def _plan(self, resource: Object) -> Plan:
        """A resource that cannot be read, which only a former CRD can have let in, fails with what is wrong."""
        try:
            readable = parse(resource)
        except ParseError as error:
            return refuse(resource, error, self._now())
        return decide(self._observer.world(readable), self._now())

    def _newest(self, key: RunKey) -> Object | None:
        """What the cache has, or our own last write where that is newer."""
        cached, written = self._cache.get(kinds.FEDERATED_LEARNING, *key), self._written.get(key)
        if cached is None or written is None or cached["metadata"]["uid"] != written["metadata"]["uid"]:
            return cached
        if int(cached["metadata"]["resourceVersion"]) >= int(written["metadata"]["resourceVersion"]):
            self._written.pop(key)
            return cached
        return written
