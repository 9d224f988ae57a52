"""Keeps large bodies of requests and answers in files while they travel, so that hundreds of sites at a time need little memory.

Flower holds a body several times while it handles it. The bodies of slow links wait in files before and after that, and few are handled at
a time. A body of a request reaches Flower in one piece: its middlewares need more time for a piece than for the bytes in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from .spool import temporary_folder

AT_A_TIME = 8  # bodies in memory
PIECE = 256 << 10  # bytes of a body that are in memory while it travels

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class NoSpaceError(Exception):
    """A body cannot be written. Nothing was answered yet."""


class Bodies:
    def __init__(self, app: App) -> None:
        self._app = app
        self._memory = asyncio.Semaphore(AT_A_TIME)

    async def receive(self, scope: dict[str, Any], receive: Any, send: Any, heard: Callable[[], None] | None = None) -> None:
        """Lets the app handle a request once its body has arrived; `heard` is called as it arrives. Raises NoSpaceError."""
        with temporary() as file:
            if not await arrived(file, receive, heard):
                return
            async with self._memory:
                file.seek(0)
                await self._app(scope, replayed(file, receive), send)

    async def answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Lets the app answer a request, and sends the answer when the app has ended. Raises NoSpaceError."""
        with temporary() as file:
            start: list[dict[str, Any]] = []
            errors: list[NoSpaceError] = []

            async def collect(message: dict[str, Any]) -> None:
                if message["type"] != "http.response.body":
                    start.append(message)
                    return
                try:
                    write(file, message.get("body", b""))
                except NoSpaceError as error:  # not through the app, which would answer it
                    errors.append(error)

            async with self._memory:
                await self._app(scope, receive, collect)
            if errors:
                raise errors[0]
            for message in start:
                await send(message)
            file.seek(0)
            while piece := file.read(PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def temporary() -> IO[bytes] | Any:
    """A file in memory, as long as it is small."""
    return SpooledTemporaryFile(PIECE, dir=temporary_folder())


def write(file: IO[bytes], piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise NoSpaceError(f"a body cannot be kept in a temporary file: {error}") from error


async def arrived(file: IO[bytes], receive: Any, heard: Callable[[], None] | None) -> bool:
    """Writes the body of a request. False if the client has left. Raises NoSpaceError."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return False
        if piece := message.get("body", b""):
            write(file, piece)
            if heard:
                heard()
        if not message.get("more_body"):
            return True


def replayed(file: IO[bytes], receive: Any) -> Any:
    """In the place of `receive` after the body was read."""
    first = True

    async def replayed_receive() -> Any:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": file.read(), "more_body": False}

    return replayed_receive
