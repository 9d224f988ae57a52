"""Updates of a page while somebody looks: server-sent events, each a part of the page that has changed, as HTML.

A stream renders at once when something changes, then not again for a while: `every` seconds, or longer if rendering is costly, so that many
changes cost little. It renders into one set of parts and waits until they are sent, so a slow client costs no memory; one that takes
nothing for PATIENCE seconds is dropped. The page says which content it has (`v`), so that nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

from aiohttp import web
from markupsafe import Markup

from panal.client.problem import of_api
from panal.dashboard.security import secured
from panal.dashboard.template import render
from panal.dashboard.view import View, digest
from panal.kube.errors import ApiError

TICK = 15.0  # seconds between two updates of the ages, and between two signs of life of a stream without changes
PATIENCE = 30.0
COSTLY = 8  # a stream renders for at most one part in so many of the time
MOST, MOST_OF_ONE = 400, 40  # streams


class Streams:
    """Counts those that are open."""

    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._most, self._most_of_one = most, most_of_one
        self.open = 0

    async def serve(self, request: web.Request, view: View) -> web.StreamResponse:
        viewer = view.viewer
        if self.open >= self._most or viewer.streams >= self._most_of_one:
            raise web.HTTPServiceUnavailable(text="too many pages are open at the moment\n", headers={"Retry-After": "10"})
        self.open += 1
        viewer.streams += 1
        try:
            async with view.opened():
                return await _stream(request, view)
        finally:
            self.open -= 1
            viewer.streams -= 1
            viewer.used = time.monotonic()


async def _stream(request: web.Request, view: View) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    secured(response)
    changed = asyncio.Event()
    with contextlib.ExitStack() as stack:
        for bell in view.bells:
            stack.enter_context(bell.heard(changed))
        await response.prepare(request)
        await _send(response, b"retry: 2000\n\n")
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            await _until_gone(request, response, view, changed)
    return response


async def _until_gone(request: web.Request, response: web.StreamResponse, view: View, changed: asyncio.Event) -> None:
    sent: dict[str, Markup] | None = None
    while True:
        changed.clear()
        began = time.monotonic()
        try:
            parts = view.rendered(await view.facts())
        except (ApiError, web.HTTPException) as error:
            await _send(response, _ending(view, error))
            return
        if sent is None and request.query.get("v") == digest(parts):
            sent = parts
        news = [name for name, content in parts.items() if sent is None or sent.get(name) != content]
        await _send(response, b"".join(event(name, parts[name]) for name in news) or b": alive\n\n")
        sent = parts
        await asyncio.sleep(max(view.every, COSTLY * (time.monotonic() - began)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK):
                await changed.wait()


async def _send(response: web.StreamResponse, content: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        await response.write(content)


def event(name: str, content: str) -> bytes:
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join([f"event: {name}\n", *(f"data: {line}\n" for line in lines), "\n"]).encode()


def _ending(view: View, error: ApiError | web.HTTPException) -> bytes:
    """Nothing of what may not be seen any more stays on the screen."""
    message = str(of_api(error, "")) if isinstance(error, ApiError) else error.text or error.reason
    first, *others = view.parts
    said: Mapping[str, str] = {first: render("parts/gone.html", {"message": message}), **dict.fromkeys(others, "")}
    return b"".join(event(name, content) for name, content in said.items()) + event("end", "")
