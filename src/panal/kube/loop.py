"""What all control loops share: keys of changed objects go into a queue, and workers reconcile them. What fails is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Literal, TypeVar

from panal.kube.cache import Cache
from panal.kube.errors import Conflict, KubeError, NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object
from panal.kube.queue import WorkQueue

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
Result = Literal["ok", "error", "defect"]  # error: tried again; defect: a bug, tried again as well

SOONEST = 0.05  # seconds until a key is reconciled again

Reconcile = Callable[[Key], Awaitable[float | None]]  # returns when to look again, in seconds
Concerns = Callable[[Kind, Object], Iterable[Key]]  # the keys that a change of an object may concern


class Loop:
    """`also` are further caches, such as that of another cluster, whose changes are told to `concerns` as well."""

    def __init__(self, name: str, cache: Cache, concerns: Concerns, reconcile: Reconcile, *, also: Sequence[Cache] = ()) -> None:
        self._name = name
        self._caches = (cache, *also)
        self._concerns = concerns
        self._reconcile = reconcile
        self._queue: WorkQueue[Key] = WorkQueue()

    async def run(self) -> None:
        """Until cancelled. Everything that the cache holds when it begins is looked at once."""
        for cache in self._caches:
            cache.subscribe(self._on_change)
        for cache in self._caches:
            await cache.wait_synced()
        for cache in self._caches:
            for kind in cache.kinds():
                for obj in cache.list(kind):
                    self._on_change(kind, None, obj)
        await work(self._queue, self._reconciled, self._name)

    def look_at(self, key: Key) -> None:
        """As if something that concerns the key had changed."""
        self._queue.add(key)

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is not None:
                for key in self._concerns(kind, obj):
                    self._queue.add(key)

    async def _reconciled(self, key: Key) -> float | None:
        """A conflict or an object that went meanwhile is no failure: the change that caused it brings the key back."""
        try:
            return await self._reconcile(key)
        except (Conflict, NotFound):
            return 0.1


async def work(
    queue: WorkQueue[K],
    reconcile: Callable[[K], Awaitable[float | None]],
    name: str,
    *,
    soonest: float = SOONEST,
    count: Callable[[Result], None] = lambda _: None,
) -> None:
    """One worker, until cancelled. `reconcile` returns the seconds until the key is reconciled again, if it must be. `name` stands before
    the key in the log; `count` receives the result of each pass."""
    while True:
        key = await queue.get()
        try:
            again = await reconcile(key)
            queue.forget(key)
            if again is not None:
                queue.add_after(key, max(again, soonest))
            count("ok")
        except KubeError as error:
            log.warning("%s %s: %s (again in %.1f s)", name, _shown(key), error, queue.retry(key))
            count("error")
        except Exception:  # a defect of ours must not end the other loops
            log.exception("%s %s: defect (again in %.1f s)", name, _shown(key), queue.retry(key))
            count("defect")
        finally:
            queue.done(key)


def _shown(key: Hashable) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


async def together(*work: Awaitable[object]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for each in work:
            tasks.create_task(_awaited(each))


async def _awaited(work: Awaitable[object]) -> None:
    await work
