"""What every request must have, and every answer has: a middleware for both.

Host: on a laptop only its own address, against DNS rebinding. Origin: a request that changes something must come from a page of this
server, by `Sec-Fetch-Site`, else by `Origin`; without both it is refused. A form must also have the viewer's CSRF token (`pages`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

log = logging.getLogger("panal.dashboard")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
SAFE = ("GET", "HEAD")


def guard(hosts: Collection[str]) -> Middleware:
    """`hosts`: the Host headers that are answered, such as 127.0.0.1:8090; empty: all."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = _refused(request, hosts)
        if refused is not None:
            return secured(refused)
        try:
            return secured(await handler(request))
        except web.HTTPException as error:
            return secured(_plain(error))
        except (ConnectionResetError, ConnectionError):
            raise
        except Exception:
            log.exception("a defect while answering %s", request.rel_url.path)
            return secured(web.Response(status=500, text="the dashboard has a defect; its log has the details\n"))

    return guarded


def _plain(error: web.HTTPException) -> web.StreamResponse:
    headers = {name: value for name, value in error.headers.items() if name not in ("Content-Type", "Content-Length")}
    return web.Response(status=error.status, text=error.text, headers=headers, content_type="text/plain")


def _refused(request: web.Request, hosts: Collection[str]) -> web.StreamResponse | None:
    if hosts and request.headers.get("Host", "").lower() not in hosts:
        return web.Response(status=421, text="this address is not the dashboard's\n")
    if request.method not in SAFE and not _from_own_page(request):
        return web.Response(status=403, text="the request does not come from a page of this dashboard\n")
    return None


def _from_own_page(request: web.Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    return bool(origin) and urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()


def secured(response: web.StreamResponse) -> web.StreamResponse:
    if not response.prepared:
        for name, value in HEADERS.items():
            response.headers[name] = value
        response.headers["Server"] = "panal"
        response.headers.setdefault("Cache-Control", "no-store")
    return response
