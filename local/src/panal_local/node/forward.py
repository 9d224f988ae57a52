"""`python -I forward.py ADDRESS FILE`: forwards NodePorts. It is a process under a shim, so that connections survive a restart of the node.

FILE, which the node writes, contains {port: [[address, port], ...]}: the open ports and the ready Pods behind each. It is read for each
connection, and a few times a second for new and removed ports. Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from itertools import count
from pathlib import Path

CHUNK = 1 << 20
LOOK = 0.2  # seconds between reads of the file
Target = tuple[str, int]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Forwarder:
    def __init__(self, address: str, file: Path) -> None:
        self._address = address
        self._file = file
        self._servers: dict[int, asyncio.Server] = {}
        self._failed: set[int] = set()
        self._turn = count()

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK)

    def targets(self) -> dict[int, list[Target]]:
        try:
            found = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return {int(port): [(host, number) for host, number in pods] for port, pods in found.items()}

    async def look(self) -> None:
        wanted = self.targets().keys()
        for port in wanted - self._servers.keys():
            await self._open(port)
        for port in self._servers.keys() - wanted:
            self._servers.pop(port).close()

    async def _open(self, port: int) -> None:
        try:
            self._servers[port] = await asyncio.start_server(lambda r, w: self._connected(port, (r, w)), self._address, port, limit=CHUNK)
            self._failed.discard(port)
        except OSError as error:
            if port not in self._failed:  # reported once
                sys.stderr.write(f"NodePort {self._address}:{port} cannot be opened: {error}; trying again\n")
            self._failed.add(port)

    async def _connected(self, port: int, near: Streams) -> None:
        found = self.targets().get(port, [])
        first = next(self._turn)
        for i in range(len(found)):
            with contextlib.suppress(OSError):
                far = await asyncio.open_connection(*found[(first + i) % len(found)], limit=CHUNK)
                await _join(near, far)
                return
        near[1].transport.abort()  # no Pod is ready: the client gets a reset, as on a real node


async def _join(near: Streams, far: Streams) -> None:
    try:
        await asyncio.gather(_copy(near[0], far[1]), _copy(far[0], near[1]))
    except OSError:
        near[1].transport.abort()
        far[1].transport.abort()
    finally:
        near[1].close()
        far[1].close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


if __name__ == "__main__":
    asyncio.run(Forwarder(sys.argv[1], Path(sys.argv[2])).run())
