"""Stops all containers of a node and its forwarder, for `panal down`. The node must have ended. No API server is needed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path

from panal_local.node import records
from panal_local.node.records import Attempt


async def drain(folder: Path, grace: float = 5.0) -> list[Path]:
    """Sends SIGTERM to all containers, and SIGKILL after `grace` seconds. Returns the folders of attempts that still run."""
    for number, timeout in ((signal.SIGTERM, grace), (signal.SIGUSR1, 10.0)):
        left = _running(folder)
        for attempt in left:
            records.send(attempt, number)
        end = time.monotonic() + timeout
        while (left := _running(folder)) and time.monotonic() < end:  # noqa: ASYNC110  waits for other processes
            await asyncio.sleep(0.05)
    if not left:
        shutil.rmtree(folder / "forwarder", ignore_errors=True)
    return [attempt.folder for attempt in left]


def _running(folder: Path) -> list[Attempt]:
    containers = [*folder.glob("pods/*/containers/*"), folder / "forwarder"]
    return [a for container in containers for a in records.attempts(container) if a.running]
