"""An API server in memory that asks who may do what: tokens with rights, lists, watches, patches, logs and reviews of access.

The rules are Kubernetes': a request without a known token is 401, one without the right is 403 whether the object exists or not. `asked`
has every request with its token, so that a test can say with whose rights something was read.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from panal.kube import kinds
from panal.kube.objects import labels_of

EVERYWHERE = "*"


class Right(NamedTuple):
    """`namespace` EVERYWHERE: in all, and cluster-wide."""

    verb: str
    resource: str
    namespace: str = EVERYWHERE


def reading(*resources: str, namespace: str = EVERYWHERE) -> set[Right]:
    return {Right(verb, resource, namespace) for verb in ("get", "list", "watch") for resource in resources}


class GuardedApi:
    """`rights` by token; ALL may do everything."""

    ALL = "administrator"

    def __init__(self) -> None:
        self.rights: dict[str, set[Right]] = {}
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.asked: list[tuple[str, str, str]] = []  # token, method, path
        self.refusals: dict[str, tuple[int, str]] = {}  # by method: what every request gets
        self._versions = itertools.count(1)
        self._changes: list[tuple[int, str, dict[str, Any]]] = []
        self._changed = asyncio.Condition()
        self.url = ""

    # --- objects ----------------------------------------------------------------------------------------------------
    def put(self, *objects: dict[str, Any]) -> None:
        for obj in objects:
            self._store(obj)

    def _store(self, obj: dict[str, Any]) -> dict[str, Any]:
        kept = copy.deepcopy(obj)
        metadata, plural = kept["metadata"], kinds.kind_of(kept).plural
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        metadata.setdefault("uid", f"uid-of-{metadata['name']}")
        metadata.setdefault("creationTimestamp", "2026-03-01T11:00:00Z")
        version = next(self._versions)
        metadata["resourceVersion"] = str(version)
        self._changes.append((version, "MODIFIED" if key in self.objects else "ADDED", kept))
        self.objects[key] = kept
        return kept

    async def change(self, *objects: dict[str, Any]) -> None:
        """Puts objects and tells those who watch."""
        async with self._changed:
            self.put(*objects)
            self._changed.notify_all()

    async def remove(self, plural: str, namespace: str, name: str) -> None:
        async with self._changed:
            gone = self.objects.pop((plural, namespace, name))
            version = next(self._versions)
            gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(version)}}
            self._changes.append((version, "DELETED", gone))
            self._changed.notify_all()

    # --- rights -----------------------------------------------------------------------------------------------------
    def may(self, token: str, verb: str, resource: str, namespace: str) -> bool:
        own = self.rights.get(token, set())
        return token == self.ALL or Right(verb, resource, namespace or EVERYWHERE) in own or Right(verb, resource) in own

    def _token(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append((token, request.method, request.path))
        if token != self.ALL and token not in self.rights:
            raise _status(web.HTTPUnauthorized, 401, "Unauthorized", "Unauthorized")
        if refusal := self.refusals.get(request.method):
            raise _status(web.HTTPForbidden if refusal[0] == 403 else web.HTTPUnprocessableEntity, refusal[0], "Invalid", refusal[1])
        return token

    def _check(self, request: web.Request, verb: str, resource: str) -> None:
        namespace, token = request.match_info.get("namespace", ""), self._token(request)
        if not self.may(token, verb, resource.split("/")[0] if verb == "patch" else resource, namespace):
            message = f'{resource} is forbidden: User "{token}" cannot {verb} resource "{resource}" in the namespace "{namespace}"'
            raise _status(web.HTTPForbidden, 403, "Forbidden", message)

    # --- requests ---------------------------------------------------------------------------------------------------
    async def _list(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info["resource"]
        watches = request.query.get("watch") == "1"
        self._check(request, "watch" if watches else "list", resource)
        if watches:
            return await self._watch(request, resource)
        items = [obj for (plural, _, _), obj in self.objects.items() if plural == resource and _selected(request, obj)]
        return web.json_response({"metadata": {"resourceVersion": str(len(self._changes) and self._changes[-1][0])}, "items": items})

    async def _watch(self, request: web.Request, resource: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        seen = int(request.query["resourceVersion"])
        end = asyncio.get_running_loop().time() + float(request.query.get("timeoutSeconds", "90"))
        while (rest := end - asyncio.get_running_loop().time()) > 0:
            for version, type_, obj in [each for each in self._changes if each[0] > seen]:
                seen = version
                if kinds.kind_of(obj).plural == resource and _selected(request, obj):
                    await response.write(json.dumps({"type": type_, "object": obj}).encode() + b"\n")
            async with self._changed:
                if not self._changes or self._changes[-1][0] <= seen:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(min(rest, 1.0)):  # wait_for would wait in a task of its own, which may keep the lock
                            await self._changed.wait()
        return response

    async def _get(self, request: web.Request) -> web.StreamResponse:
        self._check(request, "get", request.match_info["resource"])
        return web.json_response(self._found(request))

    def _found(self, request: web.Request) -> dict[str, Any]:
        resource, name = request.match_info["resource"], request.match_info["name"]
        found = self.objects.get((resource, request.match_info.get("namespace", ""), name))
        if found is None:
            raise _status(web.HTTPNotFound, 404, "NotFound", f'{resource} "{name}" not found')
        return found

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        self._check(request, "patch", request.match_info["resource"])
        async with self._changed:
            kept = self._store(merged(self._found(request), await request.json()))
            self._changed.notify_all()
        return web.json_response(kept)

    async def _log(self, request: web.Request) -> web.StreamResponse:
        self._check(request, "get", "pods/log")
        return web.Response(text=self.logs.get(request.match_info["name"], ""))

    async def _review(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["spec"]["resourceAttributes"]
        allowed = self.may(self._token(request), asked["verb"], asked["resource"], asked.get("namespace", ""))
        return web.json_response({"status": {"allowed": allowed}}, status=201)

    async def _version(self, request: web.Request) -> web.StreamResponse:
        self._token(request)
        return web.json_response({"gitVersion": "v1.34.4"})

    async def _resources(self, request: web.Request) -> web.StreamResponse:
        """Of a group and version."""
        self._token(request)
        version = f"{request.match_info.get('group', '')}/{request.match_info['version']}".lstrip("/")
        found = [kind for kind in kinds.ALL if kind.api_version == version]
        verbs = ["get", "list", "watch", "delete"]
        return web.json_response(
            {"resources": [{"name": k.plural, "kind": k.kind, "namespaced": k.namespaced, "verbs": verbs} for k in found]}
        )

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/version", self._version)
        app.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review)
        for root in ("/api/{version}", "/apis/{group}/{version}"):
            app.router.add_get(root, self._resources)
            for base in (f"{root}/namespaces/{{namespace}}", root):
                app.router.add_get(f"{base}/{{resource}}/{{name}}/log", self._log)
                app.router.add_get(f"{base}/{{resource}}/{{name}}", self._get)
                app.router.add_patch(f"{base}/{{resource}}/{{name}}", self._patch)
                app.router.add_get(f"{base}/{{resource}}", self._list)
        return app

    def kubeconfig(self, folder: Path, token: str) -> Path:
        file = folder / f"{token}.kubeconfig"
        cluster, user = {"server": self.url}, {"token": token}
        content = {
            "current-context": "hub",
            "clusters": [{"name": "hub", "cluster": cluster}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "me"}}],
        }
        file.write_text(json.dumps(content))
        return file


@asynccontextmanager
async def served(api: GuardedApi) -> AsyncIterator[GuardedApi]:
    runner = web.AppRunner(api.app(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()


def _status(error: type[web.HTTPException], code: int, reason: str, message: str) -> web.HTTPException:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return error(text=json.dumps(body), content_type="application/json")


def _selected(request: web.Request, obj: dict[str, Any]) -> bool:
    namespace = request.match_info.get("namespace")
    if namespace and obj["metadata"].get("namespace") != namespace:
        return False
    fields = [each.split("=", 1) for each in request.query.get("fieldSelector", "").split(",") if each]
    labels = [each.split("=", 1) for each in request.query.get("labelSelector", "").split(",") if each]
    return all(str(_field(obj, path)) == value for path, value in fields) and all(labels_of(obj).get(k) == v for k, v in labels)


def _field(obj: dict[str, Any], path: str) -> Any:
    for step in path.split("."):
        obj = (obj or {}).get(step)  # type: ignore[assignment]
    return obj


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
