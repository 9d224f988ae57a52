"""What all control loops share: changes add keys to a queue, and workers reconcile the keys. Failures are retried."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Literal, TypeVar

from panal.kube.cache import Cache
from panal.kube.errors import Conflict, Interrupted, KubeError, NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object
from panal.kube.queue import WorkQueue

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
Result = Literal["ok", "error", "defect"]  # error and defect (a bug) are retried

MIN_DELAY = 0.05  # seconds until a key is reconciled again
PAUSE = 1.0  # seconds, after writes that were interrupted
MAX_RETRY_AFTER = 60.0  # seconds: the longest delay that an API server may ask for

Reconcile = Callable[[Key], Awaitable[float | None]]  # returns the seconds until the next reconcile, or None
Concerns = Callable[[Kind, Object], Iterable[Key]]  # the keys that a change of an object affects


class Loop:
    """Reconciles the keys that `concerns` returns for changes in `cache` and in the caches `also`, such as that of another cluster."""

    def __init__(self, name: str, cache: Cache, concerns: Concerns, reconcile: Reconcile, *, also: Sequence[Cache] = ()) -> None:
        self._name = name
        self._caches = (cache, *also)
        self._concerns = concerns
        self._reconcile = reconcile
        self._queue: WorkQueue[Key] = WorkQueue()

    async def run(self) -> None:
        """Runs until cancelled. First reconciles the keys of all objects in the caches."""
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
        """Adds the key to the queue."""
        self._queue.add(key)

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is not None:
                for key in self._concerns(kind, obj):
                    self._queue.add(key)

    async def _reconciled(self, key: Key) -> float | None:
        """A conflict or a deleted object is not a failure: the change that caused it adds the key again."""
        try:
            return await self._reconcile(key)
        except (Conflict, NotFound):
            return 0.1


async def work(
    queue: WorkQueue[K],
    reconcile: Callable[[K], Awaitable[float | None]],
    name: str,
    *,
    min_delay: float = MIN_DELAY,
    count: Callable[[Result], None] = lambda _: None,
) -> None:
    """Runs one worker until cancelled. `reconcile` returns the seconds until the key's next reconcile, or None. `name` precedes the key in
    the log. `count` receives the result of each reconcile."""
    while True:
        key = await queue.get()
        try:
            again = await reconcile(key)
            queue.forget(key)
            if again is not None:
                queue.add_after(key, max(again, min_delay))
            count("ok")
        except Interrupted as error:
            queue.forget(key)
            queue.add_after(key, seconds := min(max(error.retry_after or 0.0, PAUSE), MAX_RETRY_AFTER))
            log.warning("%s %s: %s (goes on in %.1f s)", name, _shown(key), error, seconds)
            count("error")
        except KubeError as error:
            asked = min(error.retry_after or 0.0, MAX_RETRY_AFTER)
            log.warning("%s %s: %s (retry in %.1f s)", name, _shown(key), error, queue.retry(key, asked))
            count("error")
        except Exception:  # a defect must not end the other loops
            log.exception("%s %s: defect (retry in %.1f s)", name, _shown(key), queue.retry(key))
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
