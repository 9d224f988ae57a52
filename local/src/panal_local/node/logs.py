"""The log server, which the API server calls for `kubectl logs`: GET /containerLogs/NAMESPACE/POD/CONTAINER, with a bearer token.

Plain HTTP on the node's loopback address. Supports follow, previous, tailLines and limitBytes. Logs contain no times, so queries by time
are refused.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections import deque
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from panal_local.node import records
from panal_local.node.records import Attempt

POLL = 0.2  # seconds
CHUNK = 1 << 16
BY_TIME = ("timestamps", "sinceSeconds", "sinceTime")


class LogServer:
    """An async context manager that returns the port. `token` is a file, created if it does not exist."""

    def __init__(self, address: str, folder: Path, token: Path) -> None:
        self._address = address
        self._folder = folder
        self._token = _token(token)
        application = web.Application(middlewares=[self._known])
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)

    async def __aenter__(self) -> int:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _known(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Checks the token before the path, so that other clients learn nothing."""
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), f"Bearer {self._token}".encode()):
            return web.Response(status=401, text="Unauthorized")
        return await handler(request)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        if refused := [q for q in BY_TIME if request.query.get(q) not in (None, "false")]:
            return web.Response(status=400, text=f"{', '.join(refused)}: logs of a local node have no times; leave it out")
        attempt = self._attempt(request)
        if isinstance(attempt, str):
            return web.Response(status=400, text=attempt)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await _send(response, attempt, request.query)
        return response

    def _attempt(self, request: web.Request) -> Attempt | str:
        """The attempt whose log is requested, or an error message."""
        namespace, name, container = (request.match_info[k] for k in ("namespace", "pod", "container"))
        found = []
        for file in (self._folder / "pods").glob("*/pod.json"):
            metadata = json.loads(file.read_text())["pod"]["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                found.append((file.stat().st_mtime, file.parent))
        attempts = records.attempts(max(found)[1] / "containers" / Path(container).name) if found else []
        previous = request.query.get("previous") == "true"
        if previous:
            attempts = attempts[:-1]
        if not attempts:
            kind = "previous terminated container" if previous else "container"
            return f'{kind} "{container}" in pod "{name}" not found or is waiting to start'
        return attempts[-1]


async def _send(response: web.StreamResponse, attempt: Attempt, query: Any) -> None:
    left = int(query["limitBytes"]) if query.get("limitBytes") else None
    with (attempt.folder / "log").open("rb") as file:
        if query.get("tailLines"):
            file.seek(tail_offset(attempt.folder / "log", int(query["tailLines"])))
        while left is None or left > 0:
            running = records.held(attempt.folder)
            data = file.read(CHUNK if left is None else min(CHUNK, left))
            if data:
                left = None if left is None else left - len(data)
                await response.write(data)
            elif query.get("follow") == "true" and running:
                await asyncio.sleep(POLL)
            else:
                return


def tail_offset(path: Path, lines: int) -> int:
    """The offset of the last `lines` lines, in bytes. A newline at the end of the file starts no line."""
    with path.open("rb") as file:
        last = deque(file, maxlen=max(0, lines))
        return file.tell() - sum(map(len, last))


def _token(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text().strip()
