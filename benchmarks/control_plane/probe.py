"""How long a controller's event loop is blocked, as a client of /healthz sees it: one request each 5 ms, from a process of its own.

    python -m benchmarks.control_plane.probe PORT     # prints the seconds of all requests as JSON when its standard input ends

On a busy machine the request also waits for a processor: compare checkouts, and the controller at rest.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import select
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.control_plane import ROOT

EVERY = 0.005


@asynccontextmanager
async def probing(port: int) -> AsyncIterator[list[float]]:
    """The list has the seconds of all requests after the context."""
    found: list[float] = []
    words = ("-m", "benchmarks.control_plane.probe", str(port))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe, cwd=ROOT, limit=1 << 26)
    try:
        yield found
        output, _ = await asyncio.wait_for(process.communicate(b""), 60)
        found += json.loads(output)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found = []
    while not select.select([sys.stdin], [], [], EVERY)[0]:
        began = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        found.append(round(time.perf_counter() - began, 5))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
