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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aiohttp import web
from aiohttp.typedefs import Handler

from panal_local.node import records

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
        try:
            part = Part.parse(request.query)
        except ValueError:
            return web.Response(status=400, text="tailLines and limitBytes must be numbers")
        try:
            path = self._log(request)
            file = path.open("rb")
        except FileNotFoundError as error:
            return web.Response(status=400, text=str(error))
        with file:
            response = web.StreamResponse(headers={"Content-Type": "text/plain"})
            await response.prepare(request)
            await _send(response, file, path.parent, part)
        return response

    def _log(self, request: web.Request) -> Path:
        """The log of the newest attempt or, with `previous`, of the one before it. Raises FileNotFoundError with a message."""
        namespace, name, container = (Path(request.match_info[k]).name for k in ("namespace", "pod", "container"))
        previous = request.query.get("previous") == "true"
        pod = self._pod(namespace, name)
        known = records.attempts(pod / "containers" / container) if pod else []
        for attempt in known[-2:-1] if previous else known[-1:]:
            if (log := attempt.folder / "log").exists():
                return log
        kept = records.kept_logs(self._folder, namespace, name) / f"{container}.log"
        is_removed = pod is None or bool(known)  # or being removed: the last log has been moved
        if is_removed and not previous and kept.is_file():
            return kept
        kind = "previous terminated container" if previous else "container"
        raise FileNotFoundError(f'{kind} "{container}" in pod "{name}" not found or is waiting to start')

    def _pod(self, namespace: str, name: str) -> Path | None:
        """The folder of the newest Pod of that name."""
        found = []
        for file in (self._folder / "pods").glob("*/pod.json"):
            metadata = json.loads(file.read_text())["pod"]["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                found.append((file.stat().st_mtime, file.parent))
        return max(found)[1] if found else None


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a log a request asks for. None means no limit."""

    tail: int | None
    bytes_: int | None
    follow: bool

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Part:
        """Raises ValueError for a limit that is not a number."""
        tail, bytes_ = (int(text) if (text := query.get(name)) else None for name in ("tailLines", "limitBytes"))
        return cls(tail, bytes_, query.get("follow") == "true")


async def _send(response: web.StreamResponse, file: BinaryIO, attempt: Path, part: Part) -> None:
    left = part.bytes_
    if part.tail is not None:
        file.seek(tail_offset(file, part.tail))
    while left is None or left > 0:
        running = records.held(attempt)
        data = file.read(CHUNK if left is None else min(CHUNK, left))
        if data:
            left = None if left is None else left - len(data)
            await response.write(data)
        elif part.follow and running:
            await asyncio.sleep(POLL)
        else:
            return


def tail_offset(file: BinaryIO, lines: int) -> int:
    """The offset of the last `lines` lines, in bytes. A newline at the end of the file starts no line. Reads `file` from its position."""
    last = deque(file, maxlen=max(0, lines))
    return file.tell() - sum(map(len, last))


def _token(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text().strip()
