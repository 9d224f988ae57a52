"""Ends every container of a node's folder, and its forwarder: `panal down` needs it. The node must have ended. No API server is asked."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path

from panal_local.node import records
from panal_local.node.records import Attempt


async def drain(folder: Path, grace: float = 5.0) -> list[Path]:
    """SIGTERM to all, after `grace` seconds SIGKILL. Returns the attempts that are left, which is none unless the kernel keeps one."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGUSR1, 10.0)):
        left = _running(folder)
        for attempt in left:
            records.send(attempt, number)
        end = time.monotonic() + patience
        while (left := _running(folder)) and time.monotonic() < end:  # noqa: ASYNC110  other processes bring it about
            await asyncio.sleep(0.05)
    if not left:
        shutil.rmtree(folder / "forwarder", ignore_errors=True)
    return [attempt.folder for attempt in left]


def _running(folder: Path) -> list[Attempt]:
    containers = [*folder.glob("pods/*/containers/*"), folder / "forwarder"]
    return [a for container in containers for a in records.attempts(container) if a.running]
