"""`python3 scan.py ADDRESS...`: every TCP port of these addresses at which somebody listens, as JSON, seen from the network it runs in.

Some seconds an address: connections are begun without waiting for answers, some hundred at once. Standard library alone.
"""

from __future__ import annotations

import errno
import json
import resource
import select
import socket
import sys
import time
from collections.abc import Iterable

PORTS = range(1, 65536)
AT_ONCE = 250  # fewer than a firewall in user space has room for
PATIENCE, TRIES = 3.0, 5  # seconds for an answer, and how often it is asked for


class Scan:
    """`opened`: ports at which somebody listens; `silent`: those from which no answer came."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.opened: list[int] = []
        self.silent: list[int] = []
        self._waiting: dict[int, tuple[socket.socket, int, float]] = {}
        self._poll = select.epoll()

    def run(self) -> Scan:
        """Scans silent ports again, because a busy firewall drops packets."""
        asked: Iterable[int] = PORTS
        for _ in range(TRIES):
            self.silent = []
            self._ask(asked)
            asked = self.silent
        return self

    def _ask(self, ports: Iterable[int]) -> None:
        for port in ports:
            self._begin(port)
            while len(self._waiting) >= AT_ONCE:
                self._collect()
        while self._waiting:
            self._collect()

    def _begin(self, port: int) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        code = sock.connect_ex((self.address, port))
        if code == errno.EINPROGRESS:
            self._waiting[sock.fileno()] = (sock, port, time.monotonic() + PATIENCE)
            self._poll.register(sock, select.EPOLLOUT | select.EPOLLONESHOT)
        else:
            self._end(sock, port, code)

    def _collect(self) -> None:
        for number, _ in self._poll.poll(0.2, AT_ONCE):
            sock, port, _ = self._waiting.pop(number)
            self._end(sock, port, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        now = time.monotonic()
        for number in [n for n, (_, _, until) in self._waiting.items() if until < now]:
            sock, port, _ = self._waiting.pop(number)
            self._end(sock, port, errno.ETIMEDOUT)

    def _end(self, sock: socket.socket, port: int, code: int) -> None:
        if code == 0:
            self.opened.append(port)
        elif code != errno.ECONNREFUSED:
            self.silent.append(port)
        sock.close()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, AT_ONCE + 100)), hard))
    found = {address: Scan(address).run() for address in sys.argv[1:]}
    print(json.dumps({address: {"opened": sorted(scan.opened), "silent": sorted(scan.silent)} for address, scan in found.items()}))
