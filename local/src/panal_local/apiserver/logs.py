"""Logs of Pods, streamed from the Pod's node."""

from __future__ import annotations

from collections.abc import AsyncGenerator
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

    async def chunks(self, call: Call, pod: Entry) -> AsyncGenerator[bytes, None]:
        """Yields the log; an empty one for a Pod without a node. Raises StatusError before the first chunk."""
        container = _container(call, pod.object)
        if not pod.object["spec"].get("nodeName"):
            yield b""
            return
        url = self._url(pod.object, container)
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
                yield b""  # the node responds
                async for chunk in response.content.iter_any():
                    yield chunk

    def _headers(self) -> dict[str, str]:
        if self._token_file is None or not self._token_file.exists():
            return {}
        return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}

    def _url(self, pod: Object, container: str) -> str:
        node = self._store.get("nodes", ("", pod["spec"]["nodeName"]))
        status = (node.object.get("status") or {}) if node else {}
        address = next((a["address"] for a in status.get("addresses") or () if a.get("type") == "InternalIP"), None)
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        if not address or not port:
            raise errors.StatusError(500, "InternalError", f"node {pod['spec']['nodeName']} has no log server")
        return f"http://{address}:{port}/containerLogs/{pod['metadata']['namespace']}/{pod['metadata']['name']}/{container}"


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
