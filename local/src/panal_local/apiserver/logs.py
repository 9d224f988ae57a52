"""Logs of Pods: asked of the Pod's node, and passed on as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from panal_local.apiserver import errors
from panal_local.apiserver.requests import Call
from panal_local.apiserver.store import Entry, Store

Object = dict[str, Any]
PASSED = ("follow", "previous", "tailLines", "limitBytes", "timestamps", "sinceSeconds", "sinceTime")


class Logs:
    def __init__(self, store: Store, token_file: Path | None) -> None:
        self._store = store
        self._token_file = token_file

    @asynccontextmanager
    async def open(self, call: Call, pod: Entry) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """What the node has; StatusError if it has nothing, with its reason."""
        container = _container(call, pod.object)
        url = self._url(pod.object, container)
        if not url:
            yield _nothing()
            return
        query = {k: v for k, v in call.query.items() if k in PASSED}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers()) as session:
            try:
                response = await session.get(url, params=query)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise errors.StatusError(500, "InternalError", f"the node's log server at {url} does not answer: {error}") from error
            async with response:
                if response.status != 200:
                    raise errors.StatusError(response.status, "BadRequest", (await response.text())[:2000])
                yield _chunks(response)

    def _headers(self) -> dict[str, str]:
        if self._token_file is None or not self._token_file.exists():
            return {}
        return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}

    def _url(self, pod: Object, container: str) -> str:
        """Empty for a Pod that has no node yet."""
        name = pod["spec"].get("nodeName")
        if not name:
            return ""
        node = self._store.get("nodes", ("", name))
        if node is None:
            raise errors.not_found("", "nodes", name)
        status = node.object.get("status") or {}
        address = next((a["address"] for a in status.get("addresses") or () if a.get("type") == "InternalIP"), None)
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        if not address or not port:
            raise errors.StatusError(500, "InternalError", f"node {name} tells no address of its log server")
        metadata = pod["metadata"]
        return f"http://{address}:{port}/containerLogs/{metadata['namespace']}/{metadata['name']}/{container}"


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    async for chunk in response.content.iter_any():
        yield chunk


async def _nothing() -> AsyncGenerator[bytes, None]:
    for chunk in (b"",):
        yield chunk


def _container(call: Call, pod: Object) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    running = [c["name"] for c in spec.get("containers") or ()]
    known = [c["name"] for c in spec.get("initContainers") or ()] + running
    asked = call.query.get("container", "")
    if asked and asked not in known:
        raise errors.bad_request(f"container {asked} is not valid for pod {name}")
    if not asked and len(running) > 1:
        raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(running)}]")
    return asked or running[0]
