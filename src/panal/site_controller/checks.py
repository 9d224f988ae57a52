"""What the gateways of the site ask: whether a request may leave. The question is the request, below /v1/check, by HTTPS.

200: yes. 503, with a code as JSON: no, or not now; the runtime asks again. 403: whoever asks is no gateway of a Pod that is known.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from panal.api.text import shown
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.objects import Object, uid_of
from panal.site.decide import told
from panal.site_controller.gate import Gate

log = logging.getLogger(__name__)

PREFIX = "/v1/check"
POD_UID, CODE = "x-panal-pod-uid", "x-panal-site"
LARGEST = 17 << 20  # bytes of a body
BODIES = 4  # that are in memory at a time
PATIENCE = 10.0  # seconds until a body has arrived
IDLE = 3600.0  # seconds that a connection is kept: a gateway ends it sooner, so that no question meets its end
BY_UID = "uid"  # index of Pods


def by_uid(pod: Object) -> tuple[str]:
    return (uid_of(pod),)


class Checks:
    """`token()`: what gateways show; empty: nobody is answered yet. `ready()`: whether the gate has begun."""

    def __init__(self, cache: Cache, gate: Gate, token: Callable[[], str], ready: Callable[[], bool]) -> None:
        self._cache = cache
        self._gate = gate
        self._token = token
        self._ready = ready
        self._bodies = asyncio.Semaphore(BODIES)

    async def answer(self, request: web.Request) -> web.Response:
        if not self._known(request.headers.get("authorization", "")):
            return web.Response(status=403)
        if not self._ready():
            return web.Response(status=503)
        found = self._cache.by_index(kinds.POD, BY_UID, request.headers.get(POD_UID, ""))
        asked = self._gate.admitted(found[0]) if found else None
        if asked is None:
            return web.Response(status=403)
        async with self._bodies:
            async with asyncio.timeout(PATIENCE):
                body = await request.read()
            path = request.path_qs.removeprefix(PREFIX)  # a query is a part of it that no framework sends
            decision = await self._gate.traffic.check(asked, path, body, self._gate.judge(asked))
        if decision.code is None:
            return web.Response()
        log.info("a request of %s was refused: %s: %s: %s", asked.pod, shown(path, 100), decision.code, decision.text)
        code = told(self._gate.policy().spec, decision.code).value
        return web.json_response({"code": code}, status=503, headers={CODE: code})

    def _known(self, authorization: str) -> bool:
        token = self._token()
        return bool(token) and hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())


def context() -> ssl.SSLContext:
    """Without a certificate yet."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_3
    return found


@asynccontextmanager
async def serving(checks: Checks, port: int, tls: ssl.SSLContext, host: str | None = None) -> AsyncIterator[None]:
    application = web.Application(client_max_size=LARGEST + 1)
    application.router.add_route("*", f"{PREFIX}/{{path:.*}}", checks.answer)
    async with _served(application, port, host, tls):
        yield


@asynccontextmanager
async def health(port: int, problems: Callable[[], list[str]], host: str | None = None) -> AsyncIterator[None]:
    """/healthz: the process is alive. /readyz: it can decide."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        found = problems()
        return web.Response(text="".join(f"{each}\n" for each in found) or "ok\n", status=503 if found else 200)

    application = web.Application()
    handlers: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {"/healthz": healthz, "/readyz": readyz}
    for path, handler in handlers.items():
        application.router.add_get(path, handler)
    async with _served(application, port, host, None):
        yield


@asynccontextmanager
async def _served(application: web.Application, port: int, host: str | None, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=IDLE, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()
