"""The watch cache: what the API server holds of some kinds, kept up to date in memory.

Each kind is followed by a loop of its own: list, then watch from the list's version, and from where the last watch ended, so that
nothing is missed. A version that the server has forgotten (410) means listing again, and comparing, so that deletions are seen as well.
Watches die silently in practice: a stream that says nothing for `silence` seconds is given up, and every `resync` seconds the
kind is listed and told again, changed or not. A kind that cannot be had (not installed, forbidden, server away) is tried again with
a growing wait, is named by `problems`, and stops no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from panal.kube import metrics
from panal.kube.backoff import Backoff
from panal.kube.client import Client, Selector, WatchEvent
from panal.kube.clock import Clock, SystemClock
from panal.kube.errors import ApiError, Gone
from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object, Objects, drop_managed_fields, key_of, version_of
from panal.kube.store import IndexFunction, Store

log = logging.getLogger(__name__)

RETRIES = Backoff(first=0.2, cap=10)
Callback = Callable[[Kind, Object | None, Object | None], None]  # kind, old, new


@dataclass(frozen=True, slots=True)
class Watched:
    """`trim` may change the object it is given; what it returns is kept."""

    kind: Kind
    label_selector: str = ""
    field_selector: str = ""
    namespace: str = ""
    trim: Callable[[Object], Object] = drop_managed_fields
    indexes: Mapping[str, IndexFunction] = field(default_factory=dict)

    @property
    def selector(self) -> Selector:
        return Selector(self.namespace, self.label_selector, self.field_selector)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `watch`: how long one watch lasts; the server ends it then. `silence`: more than that, because a server sends no
    bookmark of a kind that has not changed since it started: a stream that outlives its own end is dead, a silent one need not be."""

    watch: float = 90
    silence: float = 110
    resync: float = 900
    retries: Backoff = RETRIES


class Cache:
    """`run` fills it until cancelled. Objects handed out are shared: never change them."""

    def __init__(self, client: Client, watched: Iterable[Watched], timing: Timing | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._callbacks: list[Callback] = []
        self._problems: dict[Kind, str] = {}
        self._changed = asyncio.Event()
        self._feeds: dict[Kind, _Feed] = {}
        for each in watched:
            if each.kind in self._feeds:
                raise ValueError(f"{each.kind} is to be watched twice: one Watched for each kind")
            self._feeds[each.kind] = _Feed(client, each, timing or Timing(), self._clock, self._tell, self._report)

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
        """The objects for which the kind's index function of that name gives `value`."""
        return self._feeds[kind].store.by_index(index, value)

    # --- following ----------------------------------------------------------------------------------------------
    def subscribe(self, callback: Callback) -> None:
        """Called at once after each change is in the cache, with (kind, old, new): old None for a new object, new None for a deleted
        one, both the same object when a resync tells it again. An object deleted and made again unseen comes as one change of uid."""
        self._callbacks.append(callback)

    def synced(self, *kinds: Kind) -> bool:
        """Whether these kinds (by default all) have been listed at least once."""
        return all(self._feeds[kind].synced for kind in kinds or self._feeds)

    async def wait_synced(self, *kinds: Kind) -> None:
        while not self.synced(*kinds):
            self._changed.clear()
            await self._changed.wait()

    def problems(self) -> dict[Kind, str]:
        """The kinds that cannot be followed now, and why. What is cached of them may be old."""
        return dict(self._problems)

    def _tell(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        for callback in self._callbacks:
            try:
                callback(kind, old, new)
            except Exception:  # a subscriber's mistake must not end the watch
                log.exception("a subscriber of the watch cache failed on a change of %s", kind)

    def _report(self, kind: Kind, problem: str) -> None:
        before = self._problems.pop(kind, "")
        if problem:
            self._problems[kind] = problem
        if problem and problem != before:
            log.warning("cannot follow %s for now: %s", kind, problem)
        self._changed.set()


class _Feed:
    """One kind: its store, and the loop that keeps it."""

    def __init__(
        self,
        client: Client,
        watched: Watched,
        timing: Timing,
        clock: Clock,
        tell: Callback,
        report: Callable[[Kind, str], None],
    ) -> None:
        self.kind = watched.kind
        self.store = Store(watched.indexes)
        self.synced = False
        self._client = client
        self._watched = watched
        self._timing = timing
        self._clock = clock
        self._tell = tell
        self._report = report
        self._version = ""  # where the next watch begins; empty: list first
        self._listed_at = 0.0
        self._failures = 0

    async def run(self) -> None:
        while True:
            try:
                await self._list_if_needed()
                await self._watch()
                metrics.WATCH_RESTARTS.labels(str(self.kind), "ended").inc()
            except ApiError as error:
                metrics.WATCH_RESTARTS.labels(str(self.kind), error.reason).inc()
                await self._recover(error)

    async def _recover(self, error: ApiError) -> None:
        if isinstance(error, Gone):
            self._version = ""
        self._failures += 1
        self._report(self.kind, str(error))
        await self._clock.sleep(self._timing.retries.delay(self._failures))

    def _going_well(self) -> None:
        self._failures = 0
        self._report(self.kind, "")

    # --- list ---------------------------------------------------------------------------------------------------
    async def _list_if_needed(self) -> None:
        again = self.synced and self._until_resync() <= 0
        if self._version and not again:
            return
        listing = await self._client.list(self.kind, self._watched.selector)
        metrics.LISTS.labels(str(self.kind)).inc()
        self._replace(listing.items, tell_unchanged=again)
        self._version = listing.resource_version
        self._listed_at = self._clock.monotonic()
        self.synced = True
        self._going_well()

    def _until_resync(self) -> float:
        return self._listed_at + self._timing.resync - self._clock.monotonic()

    def _replace(self, items: Iterable[Object], tell_unchanged: bool) -> None:
        gone = self.store.keys()
        for item in items:
            gone.discard(key_of(item))
            self._put(item, tell_unchanged)
        for key in gone:
            self._remove(key)

    # --- watch --------------------------------------------------------------------------------------------------
    async def _watch(self) -> None:
        timing = self._timing
        seconds = min(timing.watch, max(1.0, self._until_resync()))
        began = self._clock.monotonic()
        opened = self._client.watch(self.kind, self._version, self._watched.selector, seconds=seconds, silence=timing.silence)
        async with opened as events:
            self._going_well()
            async for event in events:
                self._on_event(event)
                self._version = version_of(event.object)
        if self._clock.monotonic() - began < 1:
            await self._clock.sleep(timing.retries.delay(1))  # a server that ends every watch at once is not asked without pause

    def _on_event(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._remove(key_of(event.object))
        elif event.type != "BOOKMARK":
            self._put(event.object, tell_unchanged=False)

    def _put(self, obj: Object, tell_unchanged: bool) -> None:
        old = self.store.get(key_of(obj))
        if old is not None and version_of(old) == version_of(obj):
            if tell_unchanged:
                self._tell(self.kind, old, old)
            return
        new = self._watched.trim(obj)
        self.store.put(new)
        self._tell(self.kind, old, new)

    def _remove(self, key: Key) -> None:
        old = self.store.remove(key)
        if old is not None:
            self._tell(self.kind, old, None)
