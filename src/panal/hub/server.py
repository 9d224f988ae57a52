"""The controller's HTTP endpoints: /healthz (the process is alive), /readyz (it can reconcile), /metrics (Prometheus)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from panal.hub import metrics
from panal.hub.scrape.exposition import Exposition

Problems = Callable[[], list[str]]


@asynccontextmanager
async def served(port: int | None, problems: Problems, exposition: Exposition) -> AsyncIterator[None]:
    """Serves on all addresses; with `port` None, not at all. `problems` returns why the controller is not ready, one line each."""
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

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()
