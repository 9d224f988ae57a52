"""The requests that panal sends to an API server.

Objects are plain JSON dicts with apiVersion and kind. Every call ends within the client's timeout and raises only exceptions of
`panal.kube.errors`. The client does not retry: the work queue retries whole reconciles.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from panal.api.names import FIELD_MANAGER
from panal.kube import execution
from panal.kube.connection import APPLY_PATCH, JSON, MERGE_PATCH, Connection, Reply, Request
from panal.kube.decoding import decode
from panal.kube.errors import Conflict, Gone, LeadershipLost, NotFound, from_status
from panal.kube.forms import Form, in_form
from panal.kube.kinds import POD, Kind, kind_of
from panal.kube.objects import Object, Objects, key_of

PAGE_SIZE = 500
FOLLOW_SILENCE = 86400.0  # seconds without output after which following a log ends
METADATA_ONLY = f"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects as of `resource_version`. A watch from that version misses no change."""

    items: Objects
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """The object of a BOOKMARK has only its resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects objects of a kind: in `namespace` (empty: all namespaces), by label selector and field selector."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def query(self) -> dict[str, str]:
        given = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in given.items() if value}


EVERYTHING = Selector()


class Client:
    def __init__(
        self,
        connection: Connection,
        field_manager: str = FIELD_MANAGER,
        may_write: Callable[[], bool] | None = None,
        forms: dict[Kind, Form] | None = None,
    ) -> None:
        self._connection = connection
        self._manager = field_manager
        self._may_write = may_write
        self._forms = {} if forms is None else forms

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
        """A client with the credentials of a kubeconfig or of the Pod's service account.

        `path`: the kubeconfig (default: the file that KUBECONFIG names, else the service account, else ~/.kube/config). `context`: one of
        its contexts (default: the current one). `timeout`: in seconds, for each request. `socket`: a Unix socket on which the API server
        accepts plain HTTP. Raises ConfigError.
        """
        return cls(Connection.open(Path(path) if path else None, timeout, context, socket), field_manager)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connection.close()

    def managing(self, field_manager: str) -> Client:
        """A client on the same connection with another field manager. Close only one of the two."""
        return Client(self._connection, field_manager, self._may_write, self._forms)

    def while_leading(self, leading: Callable[[], bool]) -> Client:
        """A client on the same connection whose writes raise LeadershipLost unless `leading()`: a process that was paused may still believe
        that it is the leader."""
        return Client(self._connection, self._manager, leading, self._forms)

    def with_token(self, token: str) -> Client:
        """A client of the same API server with this bearer token and no other credentials. Close both."""
        return Client(self._connection.with_token(token), self._manager, self._may_write, self._forms)

    def speak(self, forms: Mapping[Kind, Form]) -> None:
        """From now on this client, and all on the same connection, send and read these kinds in another version."""
        self._forms.update(forms)

    @property
    def namespace(self) -> str:
        """The namespace of this process's Pod, or of the kubeconfig's context."""
        return self._connection.namespace

    # --- reading ------------------------------------------------------------------------------------------------
    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        form = self._form(kind)
        return form.read(await self._send(Request("get", "GET", form.kind.path(namespace, name))))

    async def list(self, kind: Kind, selector: Selector = EVERYTHING, *, page_size: int = PAGE_SIZE) -> Listing:
        """Lists in pages of one resourceVersion. If that version expires meanwhile, lists again without pages."""
        try:
            return _joined([page async for page in self.pages(kind, selector, page_size)])
        except Gone:
            return _joined([page async for page in self.pages(kind, selector, 0)])

    async def pages(self, kind: Kind, selector: Selector = EVERYTHING, page_size: int = PAGE_SIZE) -> AsyncIterator[Listing]:
        """The pages of a list, all of one resourceVersion; one page with `page_size` 0. Raises Gone if that version expires meanwhile."""
        query = selector.query() | ({"limit": str(page_size)} if page_size else {})
        form = self._form(kind)
        while True:
            page = await self._send(Request("list", "GET", form.kind.path(selector.namespace), query))
            items = [form.read(_typed(form.kind, item)) for item in page.get("items") or ()]
            metadata = page["metadata"]
            del page
            yield Listing(items, metadata["resourceVersion"])
            if not (token := metadata.get("continue")):
                return
            query = query | {"continue": token}

    @asynccontextmanager
    async def watch(
        self, kind: Kind, resource_version: str, selector: Selector = EVERYTHING, *, seconds: float = 90, silence: float = 110
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """The changes after `resource_version`. The context is entered when the server answers; the server ends the watch after about
        `seconds`.

        Raises Unavailable if nothing is received for `silence` seconds (longer than `seconds`), and Gone if the version has expired.
        """
        query = selector.query() | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        form = self._form(kind)
        request = Request("watch", "GET", form.kind.path(selector.namespace), query)
        async with self._connection.stream(request, silence) as lines:
            yield _watch_events(lines, form.read)

    async def logs(
        self, namespace: str, pod: str, container: str, *, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[bytes]:
        """The lines of a container's log, cut if very long, without empty ones. With `follow`, continues until the container ends."""
        query = {"container": container} | ({"follow": "true"} if follow else {}) | ({"tailLines": str(tail)} if tail is not None else {})
        request = Request("get", "GET", POD.path(namespace, pod, "log"), query, accept="*/*")
        async with self._connection.stream(request, silence=FOLLOW_SILENCE if follow else 60, text=True) as lines:
            async for line in lines:
                yield line

    # --- writing ------------------------------------------------------------------------------------------------
    async def apply(self, obj: Object, force: bool = True, kind: Kind | None = None) -> Object:
        """Server-side apply. An apply without effect does not change the resourceVersion. Raises Conflict if another manager has set a
        field to another value, unless `force`. Here and below, pass `kind` for a kind that `panal.kube.kinds` does not have."""
        return await self._apply(obj, "", force, kind)

    async def apply_status(self, obj: Object) -> Object:
        """Server-side apply of the status only. Raises NotFound if the object does not exist."""
        identity = {name: value for name, value in obj["metadata"].items() if name in ("name", "namespace", "uid")}
        body = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": identity, "status": obj["status"]}
        return await self._apply(body, "status", force=True)

    async def create(self, obj: Object, kind: Kind | None = None, *, brief: bool = False) -> Object:
        """Raises AlreadyExists if there is an object of that name. `brief`: asks for an answer with the object's metadata only."""
        form = self._form(kind or kind_of(obj))
        path = form.kind.path(obj["metadata"].get("namespace", ""))  # it may have a generateName instead of a name
        accept = METADATA_ONLY if brief else JSON
        body = in_form(form, obj)
        return form.read(await self._send(Request("create", "POST", path, {"fieldManager": self._manager}, body, accept=accept)))

    async def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Object, subresource: str = "") -> Object:
        """A resourceVersion or uid in the patch's metadata is a precondition: raises Conflict if the object has another."""
        form = self._form(kind)
        path, body = form.kind.path(namespace, name, subresource), form.write(patch)
        return form.read(await self._send(Request("patch", "PATCH", path, {"fieldManager": self._manager}, body, MERGE_PATCH)))

    async def replace(self, obj: Object, subresource: str = "", kind: Kind | None = None) -> Object:
        """Raises Conflict if the object's resourceVersion is not that of `obj`."""
        form = self._form(kind or kind_of(obj))
        path, body = form.kind.path(*key_of(obj), subresource), in_form(form, obj)
        return form.read(await self._send(Request("update", "PUT", path, {"fieldManager": self._manager}, body)))

    async def post(self, kind: Kind, namespace: str, name: str, subresource: str, body: Object) -> Object:
        """Creates a subresource that is not stored, such as `token` of a service account."""
        return await self._send(Request("create", "POST", kind.path(namespace, name, subresource), body=body))

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str = "", propagation: Propagation = "Background", grace: int | None = None
    ) -> bool:
        """Returns False if the object does not exist or its uid is not `uid`. `grace`: a Pod's grace period in seconds; 0, which only the
        Pod's node may use, removes the object immediately."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._send(Request("delete", "DELETE", self._form(kind).kind.path(namespace, name), body=body))
        except NotFound:
            return False
        except Conflict:
            if not uid:
                raise
            return False
        return True

    async def add_finalizer(self, kind: Kind, namespace: str, name: str, finalizer: str) -> Object:
        """Returns the object with the finalizer; writes only if it is missing. Raises NotFound if the object does not exist."""
        obj = await self.get(kind, namespace, name)
        present = obj["metadata"].get("finalizers") or []
        return obj if finalizer in present else await self._set_finalizers(kind, obj, [*present, finalizer])

    async def remove_finalizers(
        self, kind: Kind, namespace: str, name: str, finalizers: Collection[str] | None = None, uid: str = ""
    ) -> bool:
        """Removes these finalizers (None: all). Returns False if the object has none, does not exist, or its uid is not `uid`."""
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

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> AsyncIterator[bytes]:
        """Runs a program in a container, and yields what it writes to its output. Raises ProgramFailed if it does not end with 0."""
        query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
        path = POD.path(namespace, pod, "exec")
        async with self._connection.socket(path, query, execution.PROTOCOL) as socket:
            async for piece in execution.output(socket):
                yield piece

    async def ask(self, kind: Kind, namespace: str, name: str, path: str, body: Any = None) -> Reply:
        """Sends a request to a Pod or a Service through the API server: GET, or with `body` POST as JSON. `name` may end in `:PORT`. Raises
        Forbidden and Unauthorized; any other status is in the reply, of the program or of the API server if it does not reach it."""
        verb, method = ("get", "GET") if body is None else ("create", "POST")
        return await self._connection.call(Request(verb, method, f"{kind.path(namespace, name, 'proxy')}{path}", body=body))

    # --- discovery ----------------------------------------------------------------------------------------------
    async def server_version(self) -> str:
        """The version of the API server, such as v1.34.4."""
        return str((await self._send(Request("get", "GET", "/version")))["gitVersion"])

    async def groups(self) -> frozenset[str]:
        """The named API groups that the server has, such as route.openshift.io."""
        answer = await self._send(Request("get", "GET", "/apis"))
        return frozenset(group["name"] for group in answer["groups"])

    async def kinds(self) -> Sequence[Kind]:
        """Every kind that can be listed, in the preferred version of its group, or in the first version that has it."""
        groups = (await self._send(Request("get", "GET", "/apis")))["groups"]
        versions = ["v1", *(g["preferredVersion"]["groupVersion"] for g in groups)]
        versions += [v["groupVersion"] for g in groups for v in g["versions"] if v["groupVersion"] not in versions]
        found: dict[tuple[str, str], Kind] = {}
        for version in versions:
            for kind in await self.kinds_of(version):
                found.setdefault((kind.group, kind.kind), kind)
        return list(found.values())

    async def kinds_of(self, api_version: str) -> Sequence[Kind]:
        """Every kind of that group and version that can be listed. Raises NotFound if the server does not have the version."""
        answer = await self._send(Request("get", "GET", f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"))
        group, _, version = api_version.rpartition("/")
        resources = [r for r in answer["resources"] if "/" not in r["name"] and {"list", "watch", "delete"} <= set(r["verbs"])]
        return [Kind(group, version, r["kind"], r["name"], r["namespaced"]) for r in resources]

    async def serves(self, kind: Kind) -> bool:
        """Whether the server has the kind in this version, or in the one that the client speaks."""
        kind = self._form(kind).kind
        prefix = "/apis" if kind.group else "/api"
        try:
            answer = await self._send(Request("get", "GET", f"{prefix}/{kind.api_version}"))
        except NotFound:
            return False
        return any(resource["name"] == kind.plural for resource in answer["resources"])

    # --- helpers ------------------------------------------------------------------------------------------------
    def _form(self, kind: Kind) -> Form:
        return self._forms.get(kind) or Form(kind)

    async def _send(self, request: Request) -> Object:
        if request.method != "GET" and self._may_write and not self._may_write():
            raise LeadershipLost(f"{request.verb} {request.path} was not sent: this process is no longer the leader")
        answer: Object = await self._connection.send(request)
        return answer

    async def _apply(self, obj: Object, subresource: str, force: bool, kind: Kind | None = None) -> Object:
        namespace, name = key_of(obj)
        form = self._form(kind or kind_of(obj))
        path = form.kind.path(namespace, name, subresource)
        query = {"fieldManager": self._manager, "force": str(force).lower()}
        return form.read(await self._send(Request("apply", "PATCH", path, query, in_form(form, obj), APPLY_PATCH)))

    async def _set_finalizers(self, kind: Kind, obj: Object, finalizers: Sequence[str]) -> Object:
        namespace, name = key_of(obj)
        seen = {"uid": obj["metadata"]["uid"], "resourceVersion": obj["metadata"]["resourceVersion"]}
        return await self.merge_patch(kind, namespace, name, {"metadata": {**seen, "finalizers": finalizers}})


def _joined(pages: Sequence[Listing]) -> Listing:
    return Listing([item for page in pages for item in page.items], pages[-1].resource_version)


def _typed(kind: Kind, item: Object) -> Object:
    """The API server omits apiVersion and kind in the items of a list."""
    return {"apiVersion": kind.api_version, "kind": kind.kind} | item


async def _watch_events(lines: AsyncIterator[bytes], read: Callable[[Object], Object]) -> AsyncIterator[WatchEvent]:
    async for line in lines:
        event = decode(line)
        if event["type"] == "ERROR":
            status = event["object"]
            raise from_status(int(status.get("code") or 500), status)
        yield WatchEvent(event["type"], read(event["object"]))
