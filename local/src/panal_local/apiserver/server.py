"""HTTP: converts requests to calls, and results to responses and streams. Every error becomes a Status object."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from panal_local.apiserver import discovery, errors, openapi, protobuf, requests
from panal_local.apiserver.answers import Answer, form_of, json_answer, plain, refused
from panal_local.apiserver.errors import NotServed, StatusError
from panal_local.apiserver.identity import Identity, User
from panal_local.apiserver.kinds import Registry
from panal_local.apiserver.logs import Logs
from panal_local.apiserver.reads import Watch
from panal_local.apiserver.requests import Call
from panal_local.apiserver.store import Store
from panal_local.apiserver.verbs import Verbs
from panal_local.apiserver.writes import Writer

log = logging.getLogger(__name__)
LARGEST = 3 << 20
HEALTH = ("healthz", "livez", "readyz")
PAGE_NOT_FOUND = plain("404 page not found\n", 404)


class Api:
    def __init__(self, store: Store, registry: Registry, identity: Identity, logs: Logs) -> None:
        self._store = store
        self._registry = registry
        self._identity = identity
        self._logs = logs
        self._writer = Writer(store, registry)
        self._writer.serve_all()
        self._verbs = Verbs(store, self._writer, identity)
        self.closing = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            found = await self._answer(request)
        except NotServed:
            found = PAGE_NOT_FOUND
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
        if (about := self._discovery(parts)) is not None:
            return about
        path = requests.parse_path(parts)
        if path is None:
            raise NotServed
        return await self._resource(request, path, user)

    def _discovery(self, parts: list[str]) -> Answer | None:
        """Discovery and schemas; None for other paths."""
        known = self._registry
        match parts:
            case ["version"]:
                return json_answer(discovery.version())
            case ["api"]:
                return json_answer(discovery.core())
            case ["apis"]:
                return json_answer(discovery.groups(known))
            case ["api", version]:
                return json_answer(discovery.resources(known, "", version))
            case ["apis", group, version]:
                return json_answer(discovery.resources(known, group, version))
            case ["openapi", "v2"]:
                return Answer(protobuf.document(known), content_type=protobuf.CONTENT_TYPE)
            case ["openapi", "v3"]:
                return json_answer(openapi.index(known))
            case ["openapi", "v3", "api", version]:
                return json_answer(openapi.document(known, "", version))
            case ["openapi", "v3", "apis", group, version]:
                return json_answer(openapi.document(known, group, version))
        return None

    # --- resources ----------------------------------------------------------------------------------------------
    async def _resource(self, request: web.BaseRequest, path: requests.Path, user: User) -> Answer | web.StreamResponse:
        resource = self._registry.get(path.group, path.version, path.plural)
        if resource is None or (path.namespace and not resource.namespaced) or (path.name and resource.namespaced and not path.namespace):
            raise NotServed
        if path.subresource and path.subresource not in resource.subresources:
            raise errors.not_found(resource.group, resource.plural, f"{path.name}/{path.subresource}")
        call = Call(resource, path.namespace, path.name, path.subresource, dict(request.query), user, request.headers.get("User-Agent", ""))
        if request.method == "GET" and path.subresource == "log":
            return await self._stream(request, self._logs.chunks(call, self._writer.live(call)), "text/plain")
        form = form_of(request.headers.get("Accept", ""), call.query)
        if request.method == "GET" and not path.name and call.flag("watch"):
            return await self._stream(request, Watch(call, self._store, form, self.closing).lines(), "application/json")
        return self._verbs.handle(request.method, call, await request.read(), request.headers.get("Content-Type", ""), form)

    @staticmethod
    async def _stream(request: web.BaseRequest, chunks: AsyncGenerator[bytes, None], content_type: str) -> web.StreamResponse:
        """Streams `chunks`. An error before the first chunk becomes the response. After it, the connection is closed before the end of the
        body: the client sees that something is missing."""
        response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        try:
            async for chunk in chunks:
                if not response.prepared:
                    await response.prepare(request)
                if chunk:
                    await response.write(chunk)
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            if not response.prepared:
                raise
            log.warning("%s %s ended early: %s: %s", request.method, request.rel_url, type(error).__name__, error)
            request.protocol.force_close()
        finally:
            await chunks.aclose()
        return response


def http(api: Api) -> web.Server:
    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=LARGEST)

    return web.Server(api, request_factory=make, handler_cancellation=True, access_log=None)
