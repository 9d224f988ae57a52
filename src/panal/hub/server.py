"""The controller's HTTP endpoints: /healthz (the process is alive), /readyz (it can reconcile), /metrics (Prometheus).

Probes need no token, and have a port of their own. The metrics are served by HTTPS at another one, to whom `Readers` lets; or, where
somebody has turned that off, to everybody at the port of the probes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from panal.hub import metrics
from panal.hub.listener import Limits, Listener
from panal.hub.scrape.exposition import Exposition
from panal.hub.scrape.readers import PATH, Readers

Problems = Callable[[], list[str]]
Handler = Callable[[web.Request], Awaitable[web.Response]]
Prepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Protected:
    """How the metrics are served: the port, what serves HTTPS there, who may read, and what connections can cost."""

    port: int
    tls: ssl.SSLContext
    readers: Readers
    limits: Limits = field(default_factory=Limits)


@asynccontextmanager
async def served(port: int | None, problems: Problems, exposition: Exposition, protected: Protected | None) -> AsyncIterator[None]:
    """Serves on all addresses; with `port` None, not at all. `problems` returns why the controller is not ready, one line each. Without
    `protected`, everybody can read the metrics at `port`."""
    if port is None:
        yield
        return

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        found = problems()
        return web.Response(text="".join(f"{p}\n" for p in found) or "ok\n", status=503 if found else 200)

    async def scrape(request: web.Request) -> web.Response:
        metrics.PROBLEMS.set(len(problems()))
        found = await exposition.text(request.headers.get("Accept", ""))
        return web.Response(body=found.body, headers={"Content-Type": found.content_type})

    probes = [web.get("/healthz", healthz), web.get("/readyz", readyz)]
    async with AsyncExitStack() as stack:
        if protected is None:
            await stack.enter_async_context(_site([*probes, web.get(PATH, scrape)], port))
        else:
            await stack.enter_async_context(_site(probes, port))
            to_readers = web.get(PATH, _guarded(scrape, protected.readers), allow_head=False)
            await stack.enter_async_context(_limited(to_readers, protected))
        yield


def _guarded(handler: Handler, readers: Readers) -> Handler:
    async def guarded(request: web.Request) -> web.Response:
        answer = await readers.answer(request.headers.get("Authorization", ""), request.remote or "")
        if answer.status == 200:
            return await handler(request)
        headers = {"WWW-Authenticate": "Bearer"} if answer.status == 401 else {}
        return web.Response(status=answer.status, text=answer.text, headers=headers)

    return guarded


@asynccontextmanager
async def _site(routes: list[web.RouteDef], port: int) -> AsyncIterator[None]:
    async with _running(routes) as runner:
        await web.TCPSite(runner, None, port).start()
        yield


@asynccontextmanager
async def _limited(route: web.RouteDef, protected: Protected) -> AsyncIterator[None]:
    async with _running([route], _last) as runner:
        listener = Listener(protected.port, protected.limits)
        await web.SockSite(runner, listener, ssl_context=protected.tls).start()
        keeping = asyncio.create_task(listener.keep())
        try:
            yield
        finally:
            keeping.cancel()


async def _last(_: web.Request, response: web.StreamResponse) -> None:
    """A connection is for one request: none is open between two scrapes."""
    response.force_close()
    response.headers["Connection"] = "close"


@asynccontextmanager
async def _running(routes: list[web.RouteDef], *prepare: Prepare) -> AsyncIterator[web.AppRunner]:
    app = web.Application()
    app.add_routes(routes)
    app.on_response_prepare.extend(prepare)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()
