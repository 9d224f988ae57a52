"""Following the objects of manifests on the managed cluster, so that what a work says of them is prompt.

One watch for each kind and namespace that works have manifests in, begun and ended as works come and go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object


class Followed(NamedTuple):
    kind: Kind
    namespace: str
    name: str


class Following:
    """`run` keeps the watches until cancelled; `wake` is told the works that a change concerns."""

    def __init__(self, client: Client, wake: Callable[[Key], None]) -> None:
        self._client = client
        self._wake = wake
        self._of_work: dict[Key, frozenset[Followed]] = {}
        self._works: dict[Followed, set[Key]] = {}
        self._feeds: dict[tuple[Kind, str], tuple[Cache, asyncio.Task[None]]] = {}

    def follow(self, work: Key, objects: Iterable[Followed]) -> None:
        """All that is to be followed for this work; nothing when it is gone."""
        wanted = frozenset(objects)
        before = self._of_work.get(work, frozenset())
        for each in wanted - before:
            self._works.setdefault(each, set()).add(work)
        for each in before - wanted:
            self._works[each].discard(work)
            if not self._works[each]:
                del self._works[each]
        if wanted:
            self._of_work[work] = wanted
        else:
            self._of_work.pop(work, None)
        if wanted != before:
            self._start_and_end()

    async def read(self, each: Followed, fresh: bool = False) -> Object | None:
        """As it was last seen; asked for if it is not followed yet, or with `fresh`."""
        feed = self._feeds.get((each.kind, each.namespace))
        if feed and not fresh and feed[0].synced():
            return feed[0].get(each.kind, each.namespace, each.name)
        try:
            return await self._client.get(each.kind, each.namespace, each.name)
        except NotFound:
            return None

    def close(self) -> None:
        for _, task in self._feeds.values():
            task.cancel()
        self._feeds.clear()

    def _start_and_end(self) -> None:
        wanted = {(each.kind, each.namespace) for each in self._works}
        for gone in self._feeds.keys() - wanted:
            self._feeds.pop(gone)[1].cancel()
        for kind, namespace in wanted - self._feeds.keys():
            cache = Cache(self._client, [Watched(kind, namespace=namespace)])
            cache.subscribe(self._changed)
            self._feeds[kind, namespace] = cache, asyncio.create_task(cache.run(), name=f"follow {kind}")

    def _changed(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        obj = new or old or {}
        metadata = obj["metadata"]
        for work in self._works.get(Followed(kind, metadata.get("namespace", ""), metadata["name"]), ()):
            self._wake(work)
