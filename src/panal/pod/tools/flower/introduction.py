"""Middleware of the SuperLink: determines the cluster of each request of the Fleet API, and limits its size.

The aggregator's gateway sets the header CLUSTER from the client's certificate and overwrites what the client sends.
"""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from .. import pod_secret
from ..files import log_line
from ..refusals import Refusals
from .bindings import Caller, RefusedError, read_caller
from .bodies import Bodies, NoSpaceError
from .holding import Holding
from .secret import rejected, unauthorized

CLUSTER, INSTANCE = pod_secret.CLUSTER.encode(), b"x-panal-instance"
PREFIX = "/v1/fleet"
PULL = f"{PREFIX}/pull-messages"
PUSH_OBJECT, PULL_OBJECT = f"{PREFIX}/push-object", f"{PREFIX}/pull-object"
LARGEST = {PUSH_OBJECT: 16 << 20, f"{PREFIX}/push-messages": 8 << 20}  # bytes of an object; of a tree of object names
SMALL = 64 << 10  # bytes of any other request, which Flower expands to log it
AT_A_TIME = 4  # concurrent uploads of a cluster; a Flower node sends two

CALLER: ContextVar[Caller | None] = ContextVar("panal_caller", default=None)  # of the current request


class Introduction:
    """ASGI middleware: sets CALLER for requests below PREFIX, and refuses those without a cluster. Limits the concurrent uploads of a
    cluster, keeps large bodies in files (`bodies`), and holds requests for messages (`holding`)."""

    heard: Callable[[Caller], None]  # called when bytes of an object arrive
    holding: Holding | None = None

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self._bodies = Bodies(app)
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
        elif scope["path"] in (*LARGEST, PULL_OBJECT):
            try:
                await self._exchange(caller, scope, receive, send)
            except NoSpaceError as error:
                log_line(f"{caller.cluster}: {error}")
                await rejected(send, 503, "No space")
        else:
            await self.app(scope, receive, send)

    async def _exchange(self, caller: Caller, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Handles a request whose body, or whose answer, may be large. Raises NoSpaceError."""
        if scope["path"] == PULL_OBJECT:
            await self._bodies.answer(scope, receive, send)
            return
        heard = partial(type(self).heard, caller) if scope["path"] == PUSH_OBJECT else None
        async with self._turns[caller.cluster]:
            await self._bodies.receive(scope, receive, send, heard)


def spare_the_collector() -> None:
    """Leaves to the garbage collector what requests create: with all of Flower it took a third of the SuperLink's time."""
    gc.collect()
    gc.freeze()


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
