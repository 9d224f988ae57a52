"""A plain client of the API server, so that what is measured does not depend on the client of the checkout that is measured."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp.connector import NEEDS_CLEANUP_CLOSED
from multidict import CIMultiDict

from cluster import Cluster

Object = dict[str, Any]
T = TypeVar("T")
CONNECTIONS = 16
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"  # with `List` in it for a list
WORKS, CLUSTERS = "/apis/work.open-cluster-management.io/v1", "/apis/cluster.open-cluster-management.io"
ADDONS = "/apis/addon.open-cluster-management.io/v1alpha1"
RUNS = "/apis/federation-ai.open-cluster-management.io/v1alpha1/namespaces/runs/federatedlearnings"


class Refused(Exception):  # noqa: N818
    """The API server has answered with an error."""


class Changed(Refused):
    """Another client has changed the object meanwhile."""


class Api:
    def __init__(self, url: str, session: aiohttp.ClientSession, headers: CIMultiDict[str]) -> None:
        self._url, self._session, self._headers = url, session, headers

    @classmethod
    @asynccontextmanager
    async def open(cls, cluster: Cluster, token: str = "") -> AsyncIterator[Api]:
        """As administrator, or with a token."""
        pki = cluster.pki.folder
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        if not token:
            context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connector = aiohttp.TCPConnector(ssl=context, limit=0, enable_cleanup_closed=NEEDS_CLEANUP_CLOSED)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
            yield cls(cluster.url, session, CIMultiDict({"Authorization": f"Bearer {token}"} if token else {}))
        await asyncio.sleep(0)  # aborted TLS connections close their sockets

    def as_user(self, user: str, *groups: str) -> Api:
        """The same, impersonating a user in these groups."""
        given = [("Impersonate-User", user), *(("Impersonate-Group", group) for group in (*groups, "system:authenticated"))]
        return Api(self._url, self._session, CIMultiDict(given))

    async def get(self, path: str, accept: str = "application/json") -> Any:
        return await self.send("GET", path, headers={"Accept": accept})

    async def create(self, path: str, obj: Object) -> Any:
        return await self.send("POST", path, json.dumps(obj).encode())

    async def patch(self, path: str, change: Object) -> Any:
        return await self.send("PATCH", path, json.dumps(change).encode(), {"Content-Type": MERGE})

    async def delete(self, path: str) -> None:
        await self.send("DELETE", path, json.dumps({"propagationPolicy": "Background"}).encode(), missing=True)

    async def items(self, path: str, accept: str = "application/json") -> tuple[list[Object], str]:
        """All objects of a list, and its resourceVersion."""
        found: list[Object] = []
        sign, token = "&" if "?" in path else "?", ""
        while True:
            page = await self.get(f"{path}{sign}limit=500&continue={token}", accept)
            found += page["items"] or ()
            token = page["metadata"].get("continue", "")
            if not token:
                return found, page["metadata"]["resourceVersion"]

    async def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, missing: bool = False) -> Any:
        """Raises Refused. With `missing`, an object that does not exist is no error."""
        given = CIMultiDict(self._headers)
        given.update({"Content-Type": "application/json"} | (headers or {}))
        async with self._session.request(method, f"{self._url}{path}", data=body or None, headers=given) as response:
            content = await response.read()
            if response.status >= 400 and not (missing and response.status == 404):
                kind = Changed if response.status == 409 else Refused
                raise kind(f"{method} {path}: {response.status}: {content[:500].decode(errors='replace')}")
            return msgspec.json.decode(content)

    async def events(self, path: str, version: str, accept: str) -> AsyncIterator[Object]:
        """A watch, until the API server ends it."""
        sign, rest = "&" if "?" in path else "?", b""
        query = f"{path}{sign}watch=1&allowWatchBookmarks=true&timeoutSeconds=600&resourceVersion={version}"
        patience = aiohttp.ClientTimeout(total=700)
        headers = CIMultiDict(self._headers)
        headers["Accept"] = accept
        async with self._session.get(f"{self._url}{query}", headers=headers, timeout=patience) as response:
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield msgspec.json.decode(line)


async def each(items: Iterable[T], action: Callable[[T], Awaitable[object]], at_once: int = CONNECTIONS) -> None:
    """The action for every item, `at_once` concurrently. The first error ends all."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await action(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(worker())


@dataclass
class Watch:
    """The objects of a list by namespace/name, kept up to date. With `metadata_only`, which costs the API server little, only metadata."""

    api: Api
    path: str
    metadata_only: bool = False
    objects: dict[str, Object] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def on(cls, api: Api, path: str, metadata_only: bool = False) -> AsyncIterator[Watch]:
        found = cls(api, path, metadata_only)
        version = await found._list()
        following = asyncio.create_task(found._follow(version))
        try:
            yield found
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def until(self, shows: Callable[[dict[str, Object]], bool], what: str, seconds: float) -> float:
        """Waits until the objects are as wanted, and returns when that was seen. Raises TimeoutError with `what`."""
        try:
            async with asyncio.timeout(seconds):
                while not shows(self.objects):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise TimeoutError(f"{what}: not after {seconds:.0f} s; {len(self.objects)} objects in {self.path}") from error
        return time.monotonic()

    def _accept(self, what: str = "") -> str:
        return METADATA.format(what) if self.metadata_only else "application/json"

    async def _list(self) -> str:
        items, version = await self.api.items(self.path, self._accept("List"))
        self.objects = {_key(each): each for each in items}
        return version

    async def _follow(self, version: str) -> None:
        while True:
            async for event in self.api.events(self.path, version, self._accept()):
                if event["type"] == "ERROR":
                    break
                self._put(event)
            version = await self._list()
            self._changed.set()

    def _put(self, event: Object) -> None:
        if event["type"] == "DELETED":
            self.objects.pop(_key(event["object"]), None)
        elif event["type"] != "BOOKMARK":
            self.objects[_key(event["object"])] = event["object"]
        self._changed.set()


def _key(obj: Object) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"
