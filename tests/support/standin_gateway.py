"""In the place of the two gateways between a site and the SuperLink: one per certificate, which says whose it is.

Sets `x-panal-cluster` on every request, over what the client sent, as the aggregator's gateway does by the certificate that it has seen,
and the Pod's secret.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from threading import Thread

from aiohttp import ClientConnectionError, ClientSession, TCPConnector, web

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
MOST = 1 << 30


class StandInGateways:
    """A thread of their own. `port(cluster)` is where that cluster's SuperNode finds the aggregator; an empty name is left out."""

    def __init__(self, superlink: int, secret: str) -> None:
        self.superlink = superlink
        self.secret = secret
        self.asked: Callable[[bytes], bytes] = bytes  # what becomes of a request's body, and of an answer's: for a hub that lies
        self.answered: Callable[[bytes], bytes] = bytes
        # How many bytes of an answer arrive before the connection breaks; None: it does not break. Of path, request and answer.
        self.cut: Callable[[str, bytes, bytes], int | None] = lambda path, asked, answer: None
        self.allowed: Callable[[str, str, bytes], int] = lambda cluster, path, asked: 200  # what a site's controller says to a request
        self.blocked = ""  # a path, the requests for which do not arrive
        self._ports: dict[str, int] = {}
        self._runners: list[web.AppRunner] = []
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def port(self, cluster: str) -> int:
        if cluster not in self._ports:
            self._ports[cluster] = asyncio.run_coroutine_threadsafe(self._serve(cluster), self._loop).result(10)
        return self._ports[cluster]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        if hasattr(self, "_session"):
            await self._session.close()

    async def _serve(self, cluster: str) -> int:
        if not hasattr(self, "_session"):
            self._session = ClientSession(connector=TCPConnector(limit=0, force_close=True), auto_decompress=False)
        app = web.Application(client_max_size=MOST)

        async def forward(request: web.Request) -> web.StreamResponse:
            return await self._forward(request, cluster)

        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._runners.append(runner)
        port: int = runner.addresses[0][1]
        return port

    async def _forward(self, request: web.Request, cluster: str) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in {*HOP_BY_HOP, "x-panal-pod"}}
        headers["x-panal-pod"] = self.secret
        if cluster:
            headers["x-panal-cluster"] = cluster
        url = f"http://127.0.0.1:{self.superlink}{request.raw_path}"
        if request.path == self.blocked:
            return web.Response(status=503, text="no healthy upstream")
        try:
            asked = self.asked(await request.read())
            if (status := await asyncio.to_thread(self.allowed, cluster, request.path, asked)) != 200:
                return web.Response(status=status)
            async with self._session.request(request.method, url, headers=headers, data=io.BytesIO(asked)) as answer:
                body = self.answered(await answer.read())
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
                if (arrives := self.cut(request.path, asked, body)) is not None:
                    return await _broken(request, answer.status, kept, body, arrives)
                return web.Response(status=answer.status, headers=kept, body=body)
        except ClientConnectionError:
            return web.Response(status=503, text="no healthy upstream")


async def _broken(request: web.Request, status: int, headers: dict[str, str], body: bytes, arrives: int) -> web.StreamResponse:
    """An answer of which the head and the first bytes arrive, or nothing."""
    assert request.transport is not None
    response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(body))})
    if arrives:
        await response.prepare(request)
        await response.write(body[:arrives])
        request.transport.close()
    else:
        request.transport.abort()
    return response
