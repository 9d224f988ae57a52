"""Middleware of the SuperLink: determines the cluster of each request of the Fleet API, and limits its size.

The aggregator's gateway sets the header CLUSTER from the client's certificate and overwrites what the client sends.
"""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .. import pod_secret
from ..files import log_line
from ..refusals import Refusals
from .bindings import Caller, RefusedError, read_caller
from .holding import Holding
from .secret import rejected, unauthorized

CLUSTER, INSTANCE = pod_secret.CLUSTER.encode(), b"x-panal-instance"
PREFIX = "/v1/fleet"
PULL = f"{PREFIX}/pull-messages"
LARGEST = {f"{PREFIX}/push-object": 16 << 20, f"{PREFIX}/push-messages": 8 << 20}  # bytes of an object; of a tree of object names
HEARD = (f"{PREFIX}/push-object",)  # a site that sends these is at work
SMALL = 64 << 10  # bytes of any other request, which Flower expands to log it
COLLECT_AFTER = 20_000  # new objects; Python collects after 700
AT_A_TIME = 4  # concurrent uploads of a cluster; a Flower node sends two

CALLER: ContextVar[Caller | None] = ContextVar("panal_caller", default=None)  # of the current request


class Introduction:
    """ASGI middleware: sets CALLER for requests below PREFIX, and refuses those without a cluster. Limits the concurrent uploads of a
    cluster, because an unfinished body occupies memory. Holds requests for messages (`holding`)."""

    heard: Callable[[Caller], None]  # called when bytes of an object arrive
    holding: Holding | None = None

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_A_TIME))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" and self.holding:
            spare_the_collector()
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            CALLER.set(None)
            await self.app(scope, receive, send)
            return
        try:
            caller = read_caller(_values(scope, CLUSTER), _values(scope, INSTANCE))
        except RefusedError as refusal:
            log_refusal("", scope["path"], refusal)
            await unauthorized(send)
            return
        CALLER.set(caller)
        most = LARGEST.get(scope["path"], SMALL)
        if (length := declared(scope)) > most:
            text = f"{caller.cluster} sends {length} bytes; a request of this kind may have {most}"
            log_refusal(caller.cluster, scope["path"], RefusedError("TooLarge", text))
            await rejected(send, 413, "Too large")
        elif scope["path"] == PULL and self.holding:
            await self.holding.wait(caller.cluster)
            await self.app(scope, receive, self.holding.observed(caller.cluster, send))
        elif scope["path"] not in LARGEST:
            await self.app(scope, receive, send)
        else:
            async with self._turns[caller.cluster]:
                body = await self._body(caller, receive, heard=scope["path"] in HEARD)
                await self.app(scope, _replayed(body, receive), send)

    async def _body(self, caller: Caller, receive: Any, heard: bool) -> list[dict[str, Any]]:
        """Reads the body. The messages have it as one piece: Flower's middlewares need more time for a piece than for its bytes."""
        pieces, message = [], {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                return [message]
            pieces.append(message.get("body", b""))
            if heard and pieces[-1]:
                type(self).heard(caller)
        return [{"type": "http.request", "body": b"".join(pieces), "more_body": False}]


def spare_the_collector() -> None:
    """Leaves to the garbage collector only what requests create, and that less often: it took a third of the SuperLink's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _replayed(messages: list[dict[str, Any]], receive: Any) -> Any:
    async def replayed_receive() -> Any:
        return messages.pop(0) if messages else await receive()

    return replayed_receive


def declared(scope: dict[str, Any]) -> int:
    """The declared length of the body; 0 if there is none. The gateway refuses uploads without a length."""
    lengths = _values(scope, b"content-length")
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit() else 0


def _values(scope: dict[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


_refusals = Refusals()


def log_refusal(cluster: str, where: str, refusal: RefusedError) -> None:
    for line in _refusals.lines(cluster or "-", f"refused: cluster={cluster or '-'} reason={refusal.reason} at={where[:100]}: {refusal}"):
        log_line(line)
