"""A proxy between the controller and an API server that answers some requests itself, answers late, or stops what a watch receives."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from aiohttp.connector import NEEDS_CLEANUP_CLOSED

from processes import free_port

WRITES = ("POST", "PUT", "PATCH", "DELETE")
HOP_BY_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
EVERY = 3  # of so many writes one is answered with an error and does not reach the API server


@dataclass(frozen=True)
class Fault:
    """`code`: the status code by which writes are answered; 0 for none. `slow`: seconds until a request is sent on. `silent`: the first
    watch of each kind receives nothing, and stays open."""

    name: str
    code: int = 0
    reason: str = ""
    retry_after: int = 0
    slow: float = 0.0
    silent: bool = False


CONFLICT = Fault("conflict", 409, "Conflict")
THROTTLED = Fault("throttled", 429, "TooManyRequests", retry_after=1)
FAILING = Fault("failing", 500, "InternalError")
SLOW = Fault("slow", slow=2.0)
SILENT = Fault("silent", silent=True)


@dataclass
class FaultyApi:
    """Forwards to `server` with the credentials of the client, or those of `tls`. `refused`: the paths of the writes that were answered
    with an error. `silenced`: those of the watches that received nothing."""

    server: str
    tls: ssl.SSLContext
    fault: Fault
    port: int = field(default_factory=free_port)
    refused: list[str] = field(default_factory=list)
    silenced: set[str] = field(default_factory=set)
    _writes: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultyApi]:
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=0, enable_cleanup_closed=NEEDS_CLEANUP_CLOSED)
        patience = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=patience, auto_decompress=False) as self._session:
            app = web.Application(client_max_size=1 << 24)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            yield self
            await runner.cleanup()
        await asyncio.sleep(0)  # aborted TLS connections close their sockets

    @contextmanager
    def in_thread(self) -> Iterator[FaultyApi]:
        """For tests without an event loop."""
        begun, end = threading.Event(), threading.Event()

        async def run() -> None:
            async with self.running():
                begun.set()
                await asyncio.to_thread(end.wait)

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        try:
            assert begun.wait(20)
            yield self
        finally:
            end.set()
            thread.join(20)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self.fault.slow)
        self._writes += request.method in WRITES
        if self.fault.code and request.method in WRITES and self._writes % EVERY == 0:
            self.refused.append(request.path)
            return self._refusal()
        return await self._forward(request)

    def _refusal(self) -> web.Response:
        fault = self.fault
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": fault.reason, "code": fault.code}
        headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
        return web.json_response(status | {"message": f"{fault.name} for a test"}, status=fault.code, headers=headers)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = aiohttp.client.URL(f"{self.server}{request.raw_path}", encoded=True)
        async with self._session.request(request.method, url, data=await request.read() or None, headers=headers) as found:
            kept = {name: value for name, value in found.headers.items() if name.lower() not in HOP_BY_HOP}
            answer = web.StreamResponse(status=found.status, headers=kept)
            await answer.prepare(request)
            async for chunk in found.content.iter_any():
                if self.fault.silent and "watch" in request.query and request.path not in self.silenced:
                    self.silenced.add(request.path)
                    await asyncio.sleep(3600)
                await answer.write(chunk)
            await answer.write_eof()
            return answer
