"""The socket of a port that any Pod can reach: what its connections can cost is bounded from the moment that they are accepted.

A TLS connection takes 290 KiB before its first request. aiohttp knows of it only after the handshake and ends it by no deadline, so the
limits are here, below both.
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """`most`: open connections, and `each`: those of one address; further ones are closed. `seconds`: for handshake, request and answer."""

    most: int = 64
    each: int = 8
    seconds: float = 30.0


class Listener(socket.socket):
    """On all addresses."""

    def __init__(self, port: int, limits: Limits) -> None:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        super().__init__(fileno=socket.create_server(("", port), family=family, dualstack_ipv6=both).detach())
        self._limits = limits
        self._open: dict[socket.socket, tuple[str, float]] = {}  # the address and the time

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises ConnectionAbortedError, which the event loop passes over, if there are too many."""
        connection, address = super().accept()
        self._open = {each: of for each, of in self._open.items() if each.fileno() >= 0}
        same = sum(of == address[0] for of, _ in self._open.values())
        if len(self._open) >= self._limits.most or same >= self._limits.each:
            connection.close()
            raise ConnectionAbortedError("too many connections")
        self._open[connection] = address[0], time.monotonic()
        return connection, address

    async def keep(self) -> None:
        """Ends those that take too long, until cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self._limits.seconds / 4))
            for connection, (_, since) in self._open.items():
                if connection.fileno() >= 0 and time.monotonic() > since + self._limits.seconds:
                    _end(connection)


def _end(connection: socket.socket) -> None:
    """Not close(): the event loop, which watches it, sees the end of its stream and closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the peer was faster
