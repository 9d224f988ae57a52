"""In front of all of the SuperLink: a request of the Fleet API is introduced with its cluster, and is no larger than it need be.

The aggregator's gateway sets the header CLUSTER from the certificate, over anything that a client sends.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..files import say
from .bindings import Caller, RefusedError, caller
from .refusals import Refusals
from .secret import rejected, unauthorized

CLUSTER, INSTANCE = b"x-panal-cluster", b"x-panal-instance"
PREFIX = "/v1/fleet"
SMALL = 64 << 10  # bytes of any other request: names and numbers, which Flower prints, and unfolds to be printed
LARGEST = {f"{PREFIX}/push-object": 16 << 20, f"{PREFIX}/push-messages": 8 << 20}  # an object; the names of a reply's
AT_A_TIME = 4  # uploads of a cluster; Flower's node sends two

CALLER: ContextVar[Caller | None] = ContextVar("panal_caller", default=None)  # of the request that is being answered


class Introduction:
    """ASGI: a request below PREFIX has a caller or goes no further. Bodies pass through untouched, so many of a cluster at a time: what a
    site sends and does not finish is memory that the others need."""

    heard: Callable[[Caller], None]  # told of the bytes of an object, as they come

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_A_TIME))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            CALLER.set(None)
            await self.app(scope, receive, send)
            return
        try:
            who = caller(_values(scope, CLUSTER), _values(scope, INSTANCE))
        except RefusedError as refusal:
            say_refused("", scope["path"], refusal)
            await unauthorized(send)
            return
        CALLER.set(who)
        most = LARGEST.get(scope["path"], SMALL)
        if (length := declared(scope)) > most:
            told = f"{who.cluster} sends {length} bytes; a request of this kind may have {most}"
            say_refused(who.cluster, scope["path"], RefusedError("TooLarge", told))
            await rejected(send, 413, "Too large")
        elif scope["path"] not in LARGEST:
            await self.app(scope, receive, send)
        else:
            async with self._turns[who.cluster]:
                await self.app(scope, self._noticed(who, receive) if scope["path"].endswith("/push-object") else receive, send)

    def _noticed(self, who: Caller, receive: Any) -> Any:
        async def noticing() -> Any:
            message = await receive()
            if message.get("body"):
                type(self).heard(who)
            return message

        return noticing


def declared(scope: dict[str, Any]) -> int:
    """The length of the body. One without a length does not pass the gateway."""
    said = _values(scope, b"content-length")
    return int(said[0]) if len(said) == 1 and said[0].isascii() and said[0].isdigit() else 0


def _values(scope: dict[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


_refusals = Refusals()


def say_refused(cluster: str, where: str, refusal: RefusedError) -> None:
    for line in _refusals.lines(cluster or "-", f"refused: cluster={cluster or '-'} reason={refusal.reason} at={where[:100]}: {refusal}"):
        say(line)
