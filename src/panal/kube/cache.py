"""The watch cache: the objects of some kinds, kept up to date in memory.

A loop for each kind lists the objects, then watches from the version of the list, and then from where the previous watch ended, so that
it misses no change. If the server no longer has the version (410), the loop lists again and compares, so that it also notices deletions.
In practice watches fail silently: the loop ends a stream that receives nothing for `silence` seconds. About every `resync` seconds it
lists the kind again and notifies subscribers of all objects, changed or not. A kind that is unavailable (not installed, forbidden, server
unreachable) is retried with growing delays and reported by `problems`; it does not affect the other kinds. An optional kind that the server
does not have is no problem: the loop asks for it every ABSENT seconds, and has no objects of it meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from panal.kube import metrics
from panal.kube.backoff import Backoff
from panal.kube.client import Client, Selector, WatchEvent
from panal.kube.clock import Clock, SystemClock
from panal.kube.errors import ApiError, Forbidden, Gone, NotFound, Unauthorized
from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object, Objects, drop_managed_fields, key_of, version_of
from panal.kube.store import IndexFunction, Store

log = logging.getLogger(__name__)

RETRIES = Backoff(first=0.2, cap=10)
ABSENT = 60.0  # seconds
PAGE_SIZE = 100  # objects of a list that are in memory at once
BATCH = 20  # objects of a page between which other tasks get their turn
SPREAD = 0.02  # by so much earlier each kind lists again than the kind before it, so that they do not all list at once
Callback = Callable[[Kind, Object | None, Object | None], None]  # kind, old, new


@dataclass(frozen=True, slots=True)
class Watched:
    """What to watch of a kind. `trim` may change its argument; the cache stores what it returns. `optional`: the server may lack the
    kind."""

    kind: Kind
    label_selector: str = ""
    field_selector: str = ""
    namespace: str = ""
    trim: Callable[[Object], Object] = drop_managed_fields
    indexes: Mapping[str, IndexFunction] = field(default_factory=dict)
    optional: bool = False

    @property
    def selector(self) -> Selector:
        return Selector(self.namespace, self.label_selector, self.field_selector)


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds. `watch`: the duration of one watch, after which the server ends it. `silence` is longer, because a server sends no
    bookmark for a kind that has not changed since the server started: only a stream that lasts longer than `watch` is dead."""

    watch: float = 90
    silence: float = 110
    resync: float = 900
    retries: Backoff = RETRIES


class Cache:
    """`run` keeps the cache up to date until it is cancelled. Returned objects are shared: do not change them."""

    def __init__(self, client: Client, watched: Iterable[Watched], timing: Timing | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._callbacks: list[Callback] = []
        self._heeding: list[Callable[[], None]] = []
        self._problems: dict[Kind, str] = {}
        self._changed = asyncio.Event()
        self._feeds: dict[Kind, _Feed] = {}
        timing = timing or Timing()
        for number, each in enumerate(watched):
            if each.kind in self._feeds:
                raise ValueError(f"{each.kind} is watched twice: pass one Watched for each kind")
            own = replace(timing, resync=timing.resync * (1 - SPREAD * (number % 20)))
            self._feeds[each.kind] = _Feed(client, each, own, self._clock, self._notify, self._report)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for feed in self._feeds.values():
                tasks.create_task(feed.run(), name=f"watch {feed.kind}")

    def kinds(self) -> tuple[Kind, ...]:
        return tuple(self._feeds)

    # --- reading ------------------------------------------------------------------------------------------------
    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._feeds[kind].store.get(Key(namespace, name))

    def list(self, kind: Kind, namespace: str | None = None) -> Objects:
        return self._feeds[kind].store.all(namespace)

    def by_index(self, kind: Kind, index: str, value: str) -> Objects:
        """The objects for which the index function `index` of the kind returns `value`."""
        return self._feeds[kind].store.by_index(index, value)

    def served(self, kind: Kind) -> bool:
        """Whether the server has the kind, as far as the cache knows."""
        return self._feeds[kind].served

    def changes(self, *kinds: Kind) -> int:
        """A number that increases with each change of an object of these kinds."""
        return sum(self._feeds[kind].store.changes for kind in kinds)

    # --- changes ------------------------------------------------------------------------------------------------
    def subscribe(self, callback: Callback) -> None:
        """Calls `callback(kind, old, new)` after each change, when the cache already has it. `old` is None for a new object, `new` is None
        for a deleted one; on a resync of an unchanged object both are the same. An object that was deleted and created again between two
        lists is one change, from one uid to another."""
        self._callbacks.append(callback)

    def synced(self, *kinds: Kind) -> bool:
        """Whether these kinds (default: all) have been listed at least once. An optional kind may be forbidden instead."""
        feeds = [self._feeds[kind] for kind in kinds or self._feeds]
        return all(feed.synced or (feed.optional and feed.forbidden) for feed in feeds)

    async def wait_synced(self, *kinds: Kind) -> None:
        while not self.synced(*kinds):
            self._changed.clear()
            await self._changed.wait()

    async def wait_answered(self, seconds: float) -> None:
        """Returns when each kind has been listed, or could not be; after `seconds` in any case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not all(feed.synced or kind in self._problems for kind, feed in self._feeds.items()):
                    self._changed.clear()
                    await self._changed.wait()

    def problems(self) -> dict[Kind, str]:
        """The kinds that cannot be watched at the moment, with the error. Their objects in the cache may be out of date."""
        return dict(self._problems)

    def forbidden(self, kind: Kind) -> bool:
        """Whether the server denies permission to list or watch the kind at the moment, or does not accept the credentials."""
        return kind in self._problems and self._feeds[kind].refused

    def heed(self, callback: Callable[[], None]) -> None:
        """Calls `callback()` after each change of `problems`."""
        self._heeding.append(callback)

    def _notify(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        for callback in self._callbacks:
            try:
                callback(kind, old, new)
            except Exception:  # a defect in a subscriber must not end the watch
                log.exception("a subscriber of the watch cache failed for a change of %s", kind)

    def _report(self, kind: Kind, problem: str) -> None:
        before = self._problems.pop(kind, "")
        if problem:
            self._problems[kind] = problem
        if problem and problem != before:
            log.warning("cannot watch %s: %s", kind, problem)
        self._changed.set()
        for heed in self._heeding if problem != before else ():
            heed()


class _Feed:
    """One kind: its store, and the loop that keeps the store up to date."""

    def __init__(
        self,
        client: Client,
        watched: Watched,
        timing: Timing,
        clock: Clock,
        notify: Callback,
        report: Callable[[Kind, str], None],
    ) -> None:
        self.kind = watched.kind
        self.optional = watched.optional
        self.store = Store(watched.indexes)
        self.synced = False
        self.served = False
        self.forbidden = False
        self.refused = False  # forbidden, or the credentials are not accepted
        self._client = client
        self._watched = watched
        self._timing = timing
        self._clock = clock
        self._notify = notify
        self._report = report
        self._version = ""  # where the next watch starts; if empty, list first
        self._listed_at = 0.0
        self._failures = 0

    async def run(self) -> None:
        while True:
            try:
                if self.optional and not self._version and not await self._client.serves(self.kind):
                    await self._wait_until_served()
                    continue
                await self._list_if_needed()
                await self._watch()
                metrics.WATCH_RESTARTS.labels(str(self.kind), "ended").inc()
            except ApiError as error:
                metrics.WATCH_RESTARTS.labels(str(self.kind), error.reason).inc()
                await self._recover(error)

    async def _recover(self, error: ApiError) -> None:
        if isinstance(error, Gone) or (self.optional and isinstance(error, NotFound)):
            self._version = ""
        self.forbidden = isinstance(error, Forbidden)
        self.refused = isinstance(error, Forbidden | Unauthorized)
        self._failures += 1
        self._report(self.kind, str(error))
        await self._clock.sleep(self._timing.retries.delay(self._failures))

    async def _wait_until_served(self) -> None:
        gone = self.store.keys()
        for key in gone:
            self._remove(key)
        self.served, self.synced = False, True
        self._recovered()
        await self._clock.sleep(ABSENT)

    def _recovered(self) -> None:
        self._failures = 0
        self._report(self.kind, "")

    # --- list ---------------------------------------------------------------------------------------------------
    async def _list_if_needed(self) -> None:
        resync = self.synced and self._until_resync() <= 0
        if self._version and not resync:
            return
        self._version = await self._list(notify_unchanged=resync)
        metrics.LISTS.labels(str(self.kind)).inc()
        self._listed_at = self._clock.monotonic()
        self.served = self.synced = True
        self._recovered()

    def _until_resync(self) -> float:
        return self._listed_at + self._timing.resync - self._clock.monotonic()

    async def _list(self, notify_unchanged: bool) -> str:
        """Stores page by page, so that only one page is in memory twice. Returns the version of the list."""
        try:
            return await self._store_pages(PAGE_SIZE, notify_unchanged)
        except Gone:  # the version expired between two pages
            return await self._store_pages(0, notify_unchanged)

    async def _store_pages(self, page_size: int, notify_unchanged: bool) -> str:
        removed, version = self.store.keys(), ""
        async for page in self._client.pages(self.kind, self._watched.selector, page_size):
            version = page.resource_version
            for number, item in enumerate(page.items, start=1):
                removed.discard(key_of(item))
                self._put(item, notify_unchanged)
                if number % BATCH == 0:
                    await asyncio.sleep(0)
        for key in removed:
            self._remove(key)
        return version

    # --- watch --------------------------------------------------------------------------------------------------
    async def _watch(self) -> None:
        timing = self._timing
        seconds = min(timing.watch, max(1.0, self._until_resync()))
        started = self._clock.monotonic()
        opened = self._client.watch(self.kind, self._version, self._watched.selector, seconds=seconds, silence=timing.silence)
        async with opened as events:
            self._recovered()
            async for event in events:
                self._on_event(event)
                self._version = version_of(event.object)
        if self._clock.monotonic() - started < 1:
            await self._clock.sleep(timing.retries.delay(1))  # delays the next request to a server that ends each watch immediately

    def _on_event(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._remove(key_of(event.object))
        elif event.type != "BOOKMARK":
            self._put(event.object, notify_unchanged=False)

    def _put(self, obj: Object, notify_unchanged: bool) -> None:
        old = self.store.get(key_of(obj))
        if old is not None and version_of(old) == version_of(obj):
            if notify_unchanged:
                self._notify(self.kind, old, old)
            return
        new = self._watched.trim(obj)
        self.store.put(new)
        self._notify(self.kind, old, new)

    def _remove(self, key: Key) -> None:
        old = self.store.remove(key)
        if old is not None:
            self._notify(self.kind, old, None)
