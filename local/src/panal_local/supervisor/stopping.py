"""`panal down`: ends the supervisor, every part, the hub last, then the containers that the nodes left. Everything stays in the folder."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from panal_local.node.drain import drain
from panal_local.supervisor.folder import HUB, SUPERVISOR, Folder, PlatformError
from panal_local.supervisor.process import find, signal_process

PATIENCE = 10.0  # seconds between asking parts to end and killing them
GRACE = 5.0  # the same for containers


def end(folder: Folder, tell: Callable[[str], None] = lambda _: None) -> bool:
    """False if nothing was there. PlatformError if something cannot be ended."""
    if not (folder.root / "run").is_dir():
        return False
    with folder.one_at_a_time():
        found = living(folder)
        _end(folder, [SUPERVISOR])  # or it would start again what ends
        if found:
            tell(f"{len(found)} processes end")
        _end(folder, [name for name in living(folder) if name != HUB])  # they have things to tell it
        _end(folder, [HUB])
        drained = asyncio.run(_drain(folder))
    return bool(found or drained)


def living(folder: Folder) -> list[str]:
    """The parts that run, the supervisor among them."""
    return [lock.stem for lock in sorted((folder.root / "run").glob("*.lock")) if lock.stem != "command" and find(folder, lock.stem)]


def _end(folder: Folder, names: list[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [name for name in names if signal_process(folder, name, number)]
        until = time.monotonic() + PATIENCE
        while left and time.monotonic() < until:
            time.sleep(0.02)
            left = [name for name in left if find(folder, name)]
        if not left:
            return
    raise PlatformError(f"{', '.join(left)} cannot be ended", "Look at the processes of the folder's run/*.lock.")


async def _drain(folder: Folder) -> int:
    """How many nodes had something running, or may have had."""
    nodes = [
        node for node in sorted(folder.root.glob("*/node")) if (node / "forwarder").exists() or next(node.glob("pods/*/containers/*"), None)
    ]
    left = await asyncio.gather(*(drain(node, GRACE) for node in nodes))
    if any(left):
        names = ", ".join(str(node) for node, attempts in zip(nodes, left) if attempts)
        raise PlatformError(f"containers of {names} cannot be ended", "Run `panal down` again.")
    return len(nodes)
