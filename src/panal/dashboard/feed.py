"""The objects of one run, watched with the viewer's own rights while somebody looks at it, and for a moment longer.

The API server decides what is seen: of a kind that the viewer may not list or watch there are no objects, and a sentence says so. Each list
and watch is in the run's namespace, and limited to the run by labels or fields.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from panal.api import names
from panal.dashboard.bell import Bell
from panal.dashboard.run import Histories, Seen, of_this_run
from panal.kube import kinds
from panal.kube.cache import Cache, Timing, Watched
from panal.kube.client import Client
from panal.kube.objects import Object, drop_managed_fields, uid_of

log = logging.getLogger(__name__)

KEPT = 30.0  # seconds after the last look
MOST = 300  # runs that are watched at the same time
PATIENCE = 5.0  # seconds for the first lists
# Short watches: whoever loses a right loses the objects when the watch ends.
TIMING = Timing(watch=40, silence=60, resync=300)
CONSEQUENCES = {
    kinds.CONFIG_MAP: "the history, the traffic and the participants are not shown",
    kinds.EVENT: "the run's Events are not shown",
    kinds.POD: "the aggregator's Pod and its log are not shown",
}


IDENTITY = ("name", "namespace", "uid", "resourceVersion", "labels")


class TooMany(Exception):  # noqa: N818
    """So many runs are looked at that no further one can be watched now."""


class Ended(Exception):  # noqa: N818
    """The run is not watched any more, so what is known of it is out of date."""


class Feed:
    def __init__(self, client: Client, namespace: str, name: str) -> None:
        own = f"{names.LABEL_RUN}={name}"
        about = f"involvedObject.kind={names.KIND},involvedObject.name={name}"
        self.bell = Bell()
        self.used = time.monotonic()
        self.lookers = 0
        self._histories = Histories()
        self._namespace, self._name = namespace, name
        self._cache = Cache(
            client,
            [
                Watched(kinds.FEDERATED_LEARNING, namespace=namespace, field_selector=f"metadata.name={name}"),
                Watched(kinds.CONFIG_MAP, namespace=namespace, label_selector=own, trim=self._used_content),
                Watched(kinds.POD, namespace=namespace, label_selector=own),
                Watched(kinds.EVENT, namespace=namespace, field_selector=about),
            ],
            TIMING,
        )
        self._cache.subscribe(lambda *_: self.bell.ring())
        self._cache.heed(self.bell.ring)
        self._task = asyncio.create_task(self._cache.run(), name=f"run {namespace}/{name}")
        self._task.add_done_callback(self._has_ended)

    def _used_content(self, config_map: Object) -> Object:
        """Whoever may create ConfigMaps may give them the run's label, so the content of others is not kept."""
        metadata = config_map["metadata"]
        if metadata["name"] in (names.history(self._name), names.progress(self._name), names.gateway(self._name)):
            return drop_managed_fields(config_map)
        return {"metadata": {name: metadata[name] for name in IDENTITY if name in metadata}}

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("the watch of the run %s/%s ended by a defect", self._namespace, self._name, exc_info=error)
        self.bell.ring()

    @property
    def ended(self) -> bool:
        """It is closed, or ended by a defect."""
        return self._task.done()

    async def ready(self) -> None:
        """Returns when each kind has been listed or refused, or after PATIENCE."""
        await self._cache.wait_answered(PATIENCE)

    def seen(self) -> Seen | None:
        """None if there is no such run, or none that the viewer may see. Raises Ended."""
        if self.ended:
            raise Ended
        if self._cache.forbidden(kinds.FEDERATED_LEARNING):
            return None
        run = self._cache.get(kinds.FEDERATED_LEARNING, self._namespace, self._name)
        if run is None:
            return None
        uid = uid_of(run)
        listed = {kind: [] if self._cache.forbidden(kind) else self._cache.list(kind) for kind in CONSEQUENCES}
        return Seen(
            run=run,
            config_maps={obj["metadata"]["name"]: obj for obj in of_this_run(listed[kinds.CONFIG_MAP], uid)},
            events=listed[kinds.EVENT],
            pods=of_this_run(listed[kinds.POD], uid),
            unread=self._unread(),
            histories=self._histories,
        )

    def _unread(self) -> list[str]:
        problems = self._cache.problems()
        return [
            f"you may not list {kind} in the namespace {self._namespace}: {consequence}"
            if self._cache.forbidden(kind)
            else f"{kind} cannot be watched at the moment, so what is shown may be out of date: {problems[kind]}"
            for kind, consequence in {kinds.FEDERATED_LEARNING: "", **CONSEQUENCES}.items()
            if kind in problems
        ]

    def stop(self) -> None:
        self._task.cancel()

    async def stopped(self) -> None:
        await asyncio.wait([self._task])


class Feeds:
    """The feeds of all viewers, by the viewer's key, namespace and name."""

    def __init__(self, most: int = MOST) -> None:
        self._feeds: dict[tuple[str, str, str], Feed] = {}
        self._most = most

    @asynccontextmanager
    async def of(self, client: Client, viewer: str, namespace: str, name: str) -> AsyncIterator[Feed]:
        """Raises TooMany."""
        key = (viewer, namespace, name)
        feed = self._feed(client, key)
        feed.lookers += 1
        try:
            await feed.ready()
            yield feed
        finally:
            feed.lookers -= 1
            feed.used = time.monotonic()

    def _feed(self, client: Client, key: tuple[str, str, str]) -> Feed:
        """Without an await, so that two requests do not make the same feed."""
        feed = self._feeds.get(key)
        if feed is None or feed.ended:
            self._feeds.pop(key, None)
            self._make_room()
            feed = self._feeds[key] = Feed(client, *key[1:])
        return feed

    def _make_room(self) -> None:
        idle = sorted((key for key, feed in self._feeds.items() if not feed.lookers), key=lambda key: self._feeds[key].used)
        if len(self._feeds) >= self._most:
            if not idle:
                raise TooMany
            self._feeds.pop(idle[0]).stop()

    async def sweep(self, every: float = 5.0) -> None:
        """Closes the feeds that no viewer uses, until it is cancelled."""
        while True:
            await asyncio.sleep(every)
            old = time.monotonic() - KEPT
            await self._close([key for key, feed in self._feeds.items() if not feed.lookers and feed.used < old])

    async def forget(self, viewer: str) -> None:
        """Closes the feeds of a viewer, whose client will be closed."""
        await self._close([key for key in self._feeds if key[0] == viewer])

    async def close(self) -> None:
        await self._close(list(self._feeds))

    async def _close(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """All are removed before the first await: whoever asks meanwhile gets a new one."""
        doomed = [self._feeds.pop(key) for key in keys]
        for feed in doomed:
            feed.stop()
        for feed in doomed:
            await feed.stopped()
