"""The HTTP side: paths to calls, bodies in, answers and streams out. Whatever goes wrong is answered with a Status object."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from panal_local.apiserver import discovery, errors, openapi, protobuf, requests, reviews
from panal_local.apiserver.answers import Answer, form_of, json_answer, plain, refused, wants_aggregated
from panal_local.apiserver.defaults import User
from panal_local.apiserver.errors import NotServed, StatusError
from panal_local.apiserver.identity import Identity
from panal_local.apiserver.kinds import Registry
from panal_local.apiserver.logs import Logs
from panal_local.apiserver.reads import Watch
from panal_local.apiserver.requests import Call
from panal_local.apiserver.store import Store
from panal_local.apiserver.verbs import Verbs
from panal_local.apiserver.writes import Writer

log = logging.getLogger("panal.apiserver")
LARGEST = 3 << 20
HEALTH = ("healthz", "livez", "readyz")
NOTHING = plain("404 page not found\n", 404)


class Api:
    def __init__(self, store: Store, registry: Registry, identity: Identity, logs: Logs, address: str) -> None:
        self._store = store
        self._registry = registry
        self._identity = identity
        self._logs = logs
        self._address = address
        self._writer = Writer(store, registry)
        self._writer.serve_all()
        self._verbs = Verbs(store, self._writer, identity)
        self._documents: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.closing = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            found = await self._answer(request)
        except NotServed:
            found = NOTHING
        except StatusError as error:
            found = refused(error)
        except web.HTTPRequestEntityTooLarge:
            found = refused(StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LARGEST}"))
        except RecursionError:
            found = refused(errors.bad_request("the object is nested too deep"))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("%s %s", request.method, request.rel_url)
            found = refused(StatusError(500, "InternalError", f"Internal error occurred: {type(error).__name__}: {error}"))
        return found if isinstance(found, web.StreamResponse) else web.Response(body=found.body, status=found.code, headers=found.headers)

    async def _answer(self, request: web.BaseRequest) -> Answer | web.StreamResponse:
        parts = [unquote(p) for p in request.rel_url.raw_path.strip("/").split("/")]
        if parts[0] in HEALTH:
            return plain("ok")
        user = self._identity.user(request.headers.get("Authorization", ""))
        if about := self._about(request, parts):
            return about
        group, *rest = parts[1:] if parts[0] == "apis" else ["", *parts[1:]]
        path = requests.parse_path([group, *rest])
        if parts[0] not in ("api", "apis") or path is None:
            raise NotServed
        return await self._resource(request, path, user)

    # --- about the server ---------------------------------------------------------------------------------------
    def _about(self, request: web.BaseRequest, parts: list[str]) -> Answer | None:
        if parts[0] == "openapi":
            return self._schemas(parts[1:])
        if parts[0] in ("api", "apis"):
            return self._kinds(parts, request.headers.get("Accept", ""))
        if parts == ["version"]:
            return json_answer(discovery.version())
        if parts == [""]:
            return json_answer({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})
        return None

    def _kinds(self, parts: list[str], accept: str) -> Answer | None:
        match parts:
            case ["api" | "apis"] if wants_aggregated(accept):
                kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                return Answer(json_answer(discovery.aggregated(self._registry, parts == ["apis"])).body, content_type=kind)
            case ["api"]:
                return json_answer(discovery.core(self._address))
            case ["apis"]:
                return json_answer(discovery.groups(self._registry))
            case ["api", version]:
                return json_answer(discovery.resources(self._registry, "", version))
            case ["apis", group]:
                return json_answer(discovery.group(self._registry, group))
            case ["apis", group, version]:
                return json_answer(discovery.resources(self._registry, group, version))
        return None

    def _schemas(self, parts: list[str]) -> Answer | None:
        match parts:
            case ["v2"]:
                return Answer(protobuf.document(self._registry), content_type=protobuf.CONTENT_TYPE)
            case ["v3"]:
                return json_answer(openapi.index(self._registry))
            case ["v3", "api", version]:
                return self._document("", version)
            case ["v3", "apis", group, version]:
                return self._document(group, version)
        return None

    def _document(self, group: str, version: str) -> Answer:
        known = self._documents.get((group, version))
        if known is None or known[0] != self._registry.changed:
            known = self._registry.changed, openapi.document(self._registry, group, version)
            self._documents[group, version] = known
        return Answer(known[1])

    # --- resources ----------------------------------------------------------------------------------------------
    async def _resource(self, request: web.BaseRequest, path: requests.Path, user: User) -> Answer | web.StreamResponse:
        if reviews.is_review(path.group, path.version, path.plural) and not path.name:
            return await self._review(request, path, user)
        resource = self._registry.get(path.group, path.version, path.plural)
        if resource is None or (path.namespace and not resource.namespaced) or (path.name and resource.namespaced and not path.namespace):
            raise NotServed
        if path.subresource and path.subresource not in resource.subresources:
            if resource.custom:
                raise errors.not_found(resource.group, resource.plural, path.name)
            raise errors.StatusError(404, "NotFound", "the server could not find the requested resource", {})
        query = {name: request.query[name] for name in request.query}
        call = Call(resource, path.namespace, path.name, path.subresource, query, user, request.headers.get("User-Agent", ""))
        if request.method == "GET" and path.subresource == "log":
            return await self._log(request, call)
        form = form_of(request.headers.get("Accept", ""), query)
        if request.method == "GET" and not path.subresource and (call.flag("watch") or ("watch" in query and query["watch"] == "")):
            watch = Watch(self._one_name(call), self._store, form, self.closing)
            return await self._stream(request, watch.lines(), "application/json")
        body = await request.read()
        return self._verbs.handle(request.method, call, body, request.headers.get("Content-Type", ""), form)

    @staticmethod
    def _one_name(call: Call) -> Call:
        """A watch of one object is one with a field selector."""
        if not call.name:
            return call
        query = {**call.query, "fieldSelector": f"metadata.name={call.name}"}
        return Call(call.resource, call.namespace, "", "", query, call.user, call.agent)

    async def _review(self, request: web.BaseRequest, path: requests.Path, user: User) -> Answer:
        if request.method != "POST":
            raise errors.method_not_allowed()
        body = requests.read(await request.read(), request.headers.get("Content-Type", ""), path.plural)
        if not isinstance(body, dict):
            raise errors.bad_request("the object provided is unrecognized: not an object")
        return json_answer(reviews.answer(path.plural, body, user, self._identity), 201)

    async def _log(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        async with self._logs.open(call, self._writer.live(call)) as chunks:
            return await self._stream(request, chunks, "text/plain")

    @staticmethod
    async def _stream(request: web.BaseRequest, chunks: AsyncGenerator[bytes, None], content_type: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
        finally:
            await chunks.aclose()
        return response


def http(api: Api) -> web.Server:
    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=LARGEST)

    return web.Server(api, request_factory=make, handler_cancellation=True, access_log=None)
