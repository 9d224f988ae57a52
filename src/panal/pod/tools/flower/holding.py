"""Holds a node's request for messages until there is one, so that nodes get messages at once and hundreds of idle nodes cost little.

Flower's nodes poll every 3 s, and the SuperLink answers at once. Here the request of a node whose last answer was empty waits until the
server app sends the node a message, and at most HOLD seconds. Flower's handler then answers it as always.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

HOLD = 10.0  # seconds; a client waits for 30 s

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Holding:
    """The clusters that have no messages. `stored` may be called in any thread, everything else in that of the event loop."""

    def __init__(self, hold: float = HOLD) -> None:
        self._hold = hold
        self._lock = threading.Lock()
        self._stored: Counter[str] = Counter()  # messages stored for a cluster
        self._empty: dict[str, int] = {}  # `_stored` before the last answer, if it was empty
        self._wakes: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False

    def stored(self, clusters: Iterable[str]) -> None:
        """Answers the held requests of these clusters."""
        with self._lock:
            self._stored.update(found := set(clusters))
            self._wake(found)

    def release(self) -> None:
        """Answers all held requests, and holds no more."""
        with self._lock:
            self._over = True
            self._wake(list(self._wakes))

    def _wake(self, clusters: Iterable[str]) -> None:
        for cluster in clusters:
            if (wake := self._wakes.pop(cluster, None)) and self._loop:
                self._loop.call_soon_threadsafe(wake.set)

    async def wait(self, cluster: str) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            release_at_exit(self)
        with self._lock:
            if self._over or self._empty.get(cluster) != self._stored[cluster]:
                return
            wake = self._wakes.setdefault(cluster, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._hold):
                await wake.wait()

    def observed(self, cluster: str, send: Send) -> Send:
        """Wraps `send` to note whether the answer, of which no byte was sent yet, is empty."""
        before, status, size = self._stored[cluster], 0, 0

        async def observed_send(message: dict[str, Any]) -> None:
            nonlocal status, size
            status, size = message.get("status", status), size + len(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                if status == 200 and size == 0:
                    self._empty[cluster] = before
                else:
                    self._empty.pop(cluster, None)
            await send(message)

        return observed_send


def release_at_exit(holding: Holding) -> None:
    """Releases the requests at SIGTERM, because the server ends when its requests are answered."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)

    def ended(number: int, frame: FrameType | None) -> None:
        holding.release()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, ended)
