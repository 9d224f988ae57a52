"""The calls that panal makes to an API server.

Objects go in and come out as plain JSON dicts that carry apiVersion and kind. Every call ends within the client's time-out,
and raises nothing but `panal.kube.errors`. Nothing is retried here: the queue above retries whole reconciles.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from panal.api.names import FIELD_MANAGER
from panal.kube.connection import APPLY_PATCH, MERGE_PATCH, Connection, Request, decode
from panal.kube.errors import Conflict, Gone, NotFound, from_status
from panal.kube.kinds import POD, Kind, kind_of
from panal.kube.objects import Object, Objects, key_of

PAGE_SIZE = 500
FOLLOWING = 86400.0  # seconds that a log which is followed may be silent
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects as they were at `resource_version`; a watch from there misses nothing."""

    items: Objects
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A BOOKMARK's object has nothing but its resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


@dataclass(frozen=True, slots=True)
class Selector:
    """Which objects of a kind: those of `namespace` (empty: all), by labels and fields in Kubernetes' own syntax."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def query(self) -> dict[str, str]:
        given = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in given.items() if value}


EVERYTHING = Selector()


class Client:
    def __init__(self, connection: Connection, field_manager: str = FIELD_MANAGER) -> None:
        self._connection = connection
        self._manager = field_manager

    @classmethod
    def from_kubeconfig(
        cls,
        path: Path | str | None = None,
        *,
        context: str | None = None,
        timeout: float = 20,
        field_manager: str = FIELD_MANAGER,
        socket: Path | None = None,
    ) -> Client:
        """Without `path`: the file that KUBECONFIG names, else the pod's service account, else ~/.kube/config. Without `context`: the
        file's current one. `socket` is a Unix socket of the API server's on this machine, where it speaks plain HTTP."""
        return cls(Connection.open(Path(path) if path else None, timeout, context, socket), field_manager)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connection.close()

    def managing(self, field_manager: str) -> Client:
        """The same connection under another field manager; close only one of the two."""
        return Client(self._connection, field_manager)

    @property
    def namespace(self) -> str:
        """Where this process runs, or the namespace of the kubeconfig's context."""
        return self._connection.namespace

    # --- reading ------------------------------------------------------------------------------------------------
    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._send(Request("get", "GET", kind.path(namespace, name)))

    async def list(self, kind: Kind, selector: Selector = EVERYTHING, *, page_size: int = PAGE_SIZE) -> Listing:
        """Page after page, all of the same moment; in one piece if that moment is forgotten meanwhile."""
        try:
            return await self._pages(kind, selector, page_size)
        except Gone:
            return await self._pages(kind, selector, 0)

    @asynccontextmanager
    async def watch(
        self, kind: Kind, resource_version: str, selector: Selector = EVERYTHING, *, seconds: float = 90, silence: float = 110
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """What happens after `resource_version`: entered once the server has begun to tell, ended by it after about `seconds`.

        Unavailable when nothing at all came for `silence` seconds, which is longer than `seconds`: so the server is gone.
        Gone when the version is not known any more.
        """
        query = selector.query() | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        request = Request("watch", "GET", kind.path(selector.namespace), query)
        async with self._connection.stream(request, silence) as lines:
            yield _watch_events(lines)

    async def logs(
        self, namespace: str, pod: str, container: str, *, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[bytes]:
        """A container's log, line by line; with `follow` on and on until it ends. Empty lines are left out."""
        query = {"container": container} | ({"follow": "true"} if follow else {}) | ({"tailLines": str(tail)} if tail is not None else {})
        request = Request("get", "GET", POD.path(namespace, pod, "log"), query, accept="*/*")
        async with self._connection.stream(request, silence=FOLLOWING if follow else 60, unended=True) as lines:
            async for line in lines:
                yield line

    # --- writing ------------------------------------------------------------------------------------------------
    async def apply(self, obj: Object, force: bool = True, kind: Kind | None = None) -> Object:
        """Server-side apply: creates the object or makes our fields so; a no-op leaves its version as it was. Without `force`,
        Conflict where another manager has set one of them otherwise. Here as below, `kind` is for one that panal has no constant of."""
        return await self._apply(obj, "", force, kind)

    async def apply_status(self, obj: Object) -> Object:
        """Server-side apply of `obj`'s status alone; NotFound if the object does not exist."""
        identity = {name: value for name, value in obj["metadata"].items() if name in ("name", "namespace", "uid")}
        body = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": identity, "status": obj["status"]}
        return await self._apply(body, "status", force=True)

    async def create(self, obj: Object, kind: Kind | None = None) -> Object:
        """AlreadyExists if there is one of that name."""
        path = (kind or kind_of(obj)).path(obj["metadata"].get("namespace", ""))  # it may have no name yet, but a generateName
        return await self._send(Request("create", "POST", path, {"fieldManager": self._manager}, obj))

    async def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Object, subresource: str = "") -> Object:
        """A resourceVersion or uid in the patch's metadata is a condition: Conflict if the object is not at it."""
        path = kind.path(namespace, name, subresource)
        return await self._send(Request("patch", "PATCH", path, {"fieldManager": self._manager}, patch, MERGE_PATCH))

    async def replace(self, obj: Object, subresource: str = "", kind: Kind | None = None) -> Object:
        """Conflict if the object is not at the resourceVersion that `obj` has."""
        path = (kind or kind_of(obj)).path(*key_of(obj), subresource)
        return await self._send(Request("update", "PUT", path, {"fieldManager": self._manager}, obj))

    async def post(self, kind: Kind, namespace: str, name: str, subresource: str, body: Object) -> Object:
        """A subresource that is asked for rather than kept, such as `token` of a service account."""
        return await self._send(Request("create", "POST", kind.path(namespace, name, subresource), body=body))

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str = "", propagation: Propagation = "Background", grace: int | None = None
    ) -> bool:
        """False if it was not there. With `uid`, a later object of the same name is left alone, which counts as not there.
        `grace` is a Pod's, in seconds: 0, which its node alone may say, takes the object away."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._send(Request("delete", "DELETE", kind.path(namespace, name), body=body))
        except NotFound:
            return False
        except Conflict:
            if not uid:
                raise
            return False
        return True

    async def add_finalizer(self, kind: Kind, namespace: str, name: str, finalizer: str) -> Object:
        """The object with the finalizer; writes only if it lacks it. NotFound if the object does not exist."""
        obj = await self.get(kind, namespace, name)
        present = obj["metadata"].get("finalizers") or []
        return obj if finalizer in present else await self._set_finalizers(kind, obj, [*present, finalizer])

    async def remove_finalizers(
        self, kind: Kind, namespace: str, name: str, finalizers: Collection[str] | None = None, uid: str = ""
    ) -> bool:
        """Take these finalizers (None: all) away; false if there was none of them, no object, or with `uid` a later one."""
        try:
            obj = await self.get(kind, namespace, name)
            present = obj["metadata"].get("finalizers") or []
            rest = [] if finalizers is None else [name for name in present if name not in finalizers]
            if rest == present or (uid and obj["metadata"]["uid"] != uid):
                return False
            await self._set_finalizers(kind, obj, rest)
        except NotFound:
            return False
        return True

    # --- about the server ---------------------------------------------------------------------------------------
    async def server_version(self) -> str:
        """Such as v1.34.4."""
        return str((await self._send(Request("get", "GET", "/version")))["gitVersion"])

    async def groups(self) -> frozenset[str]:
        """The named API groups that the server offers, such as route.openshift.io."""
        answer = await self._send(Request("get", "GET", "/apis"))
        return frozenset(group["name"] for group in answer["groups"])

    async def kinds(self) -> Sequence[Kind]:
        """Every kind that the server has objects of, each in the version that it prefers, or the first that has the kind."""
        groups = (await self._send(Request("get", "GET", "/apis")))["groups"]
        versions = ["v1", *(g["preferredVersion"]["groupVersion"] for g in groups)]
        versions += [v["groupVersion"] for g in groups for v in g["versions"] if v["groupVersion"] not in versions]
        found: dict[tuple[str, str], Kind] = {}
        for version in versions:
            for kind in await self.kinds_of(version):
                found.setdefault((kind.group, kind.kind), kind)
        return list(found.values())

    async def kinds_of(self, api_version: str) -> Sequence[Kind]:
        """Every kind of that group and version that there are objects of; NotFound if the server does not know it."""
        answer = await self._send(Request("get", "GET", f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"))
        group, _, version = api_version.rpartition("/")
        resources = [r for r in answer["resources"] if "/" not in r["name"] and {"list", "watch", "delete"} <= set(r["verbs"])]
        return [Kind(group, version, r["kind"], r["name"], r["namespaced"]) for r in resources]

    async def serves(self, kind: Kind) -> bool:
        """Whether the server knows the kind, in this version."""
        prefix = "/apis" if kind.group else "/api"
        try:
            answer = await self._send(Request("get", "GET", f"{prefix}/{kind.api_version}"))
        except NotFound:
            return False
        return any(resource["name"] == kind.plural for resource in answer["resources"])

    # --- helpers ------------------------------------------------------------------------------------------------
    async def _send(self, request: Request) -> Object:
        answer: Object = await self._connection.send(request)
        return answer

    async def _apply(self, obj: Object, subresource: str, force: bool, kind: Kind | None = None) -> Object:
        namespace, name = key_of(obj)
        path = (kind or kind_of(obj)).path(namespace, name, subresource)
        query = {"fieldManager": self._manager, "force": str(force).lower()}
        return await self._send(Request("apply", "PATCH", path, query, obj, APPLY_PATCH))

    async def _set_finalizers(self, kind: Kind, obj: Object, finalizers: Sequence[str]) -> Object:
        namespace, name = key_of(obj)
        seen = {"uid": obj["metadata"]["uid"], "resourceVersion": obj["metadata"]["resourceVersion"]}
        return await self.merge_patch(kind, namespace, name, {"metadata": {**seen, "finalizers": finalizers}})

    async def _pages(self, kind: Kind, selector: Selector, page_size: int) -> Listing:
        items: Objects = []
        query = selector.query() | ({"limit": str(page_size)} if page_size else {})
        while True:
            page = await self._send(Request("list", "GET", kind.path(selector.namespace), query))
            items += (_typed(kind, item) for item in page.get("items") or ())
            if not (token := page["metadata"].get("continue")):
                return Listing(items, page["metadata"]["resourceVersion"])
            query = query | {"continue": token}


def _typed(kind: Kind, item: Object) -> Object:
    """Items of a list come without apiVersion and kind."""
    return {"apiVersion": kind.api_version, "kind": kind.kind} | item


async def _watch_events(lines: AsyncIterator[bytes]) -> AsyncIterator[WatchEvent]:
    async for line in lines:
        event = decode(line)
        if event["type"] == "ERROR":
            status = event["object"]
            raise from_status(int(status.get("code") or 500), status)
        yield WatchEvent(event["type"], event["object"])
