"""A clock that tests control, and an in-memory API server for the code that uses the client."""

from __future__ import annotations

import asyncio
import copy
import heapq
import itertools

import pytest

from guarded_api import merged
from panal.kube.errors import AlreadyExists, Conflict, NotFound, Unavailable
from panal.kube.objects import key_of


class FakeClock:
    """The time changes only by `advance`, which wakes sleeping tasks in order of their due time and lets all tasks run in between."""

    def __init__(self):
        self.time = 1000.0
        self._sleepers = []
        self._order = itertools.count()

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds):
        end = self.time + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self.time = max(self.time, due)
                woken.set_result(None)
                await settle()
        self.time = end
        await settle()


async def settle():
    """Lets every task run until it waits."""
    for _ in range(50):
        await asyncio.sleep(0)


class ObjectsInMemory:
    """get, create and merge_patch with optimistic concurrency, as in an API server. `unreachable`: whether requests fail."""

    def __init__(self):
        self.objects = {}
        self.unreachable = False
        self._versions = itertools.count(1)

    async def get(self, kind, namespace, name):
        self._reach()
        try:
            return copy.deepcopy(self.objects[kind, namespace, name])
        except KeyError:
            raise NotFound(404, "NotFound", name) from None

    async def create(self, obj):
        from panal.kube.kinds import kind_of

        self._reach()
        key = (kind_of(obj), *key_of(obj))
        if key in self.objects:
            raise AlreadyExists(409, "AlreadyExists", str(key))
        return self._keep(key, copy.deepcopy(obj))

    async def merge_patch(self, kind, namespace, name, patch):
        obj = await self.get(kind, namespace, name)
        if patch["metadata"].get("resourceVersion", obj["metadata"]["resourceVersion"]) != obj["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", name)
        return self._keep((kind, namespace, name), merged(obj, patch))

    def _keep(self, key, obj):
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = obj
        return copy.deepcopy(obj)

    def _reach(self):
        if self.unreachable:
            raise Unavailable(0, "ConnectError", "unreachable")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def api():
    return ObjectsInMemory()
