"""`panal down`: ends the supervisor and with it every part, then the containers that the nodes left. Everything stays in the folder."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from panal_local.node.drain import drain
from panal_local.supervisor.folder import SUPERVISOR, Folder, PlatformError
from panal_local.supervisor.process import find, known, signal_process

PATIENCE = 45.0  # seconds that the supervisor has to end all parts; it kills those that do not end
GRACE = 5.0  # between asking containers to end and killing them


def end(folder: Folder, tell: Callable[[str], None] = lambda _: None) -> bool:
    """False if nothing was there. PlatformError if something cannot be ended."""
    if not (folder.root / "run").is_dir():
        return False
    with folder.one_at_a_time():
        found = living(folder)
        if found:
            tell(f"stopping {len(found)} processes")
        _end_supervisor(folder)
        drained = asyncio.run(_drain(folder))
    return bool(found or drained)


def living(folder: Folder) -> list[str]:
    """The parts that run, the supervisor among them."""
    return [name for name in (SUPERVISOR, *known(folder)) if find(folder, name)]


def _end_supervisor(folder: Folder) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + PATIENCE
        signal_process(folder, SUPERVISOR, number)
        while find(folder, SUPERVISOR):
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        else:
            return
    raise PlatformError("the supervisor did not stop", f"Check the process that {folder.lock} names.")


async def _drain(folder: Folder) -> int:
    """How many nodes had something running, or may have had."""
    nodes = [
        node for node in sorted(folder.root.glob("*/node")) if (node / "forwarder").exists() or next(node.glob("pods/*/containers/*"), None)
    ]
    left = await asyncio.gather(*(drain(node, GRACE) for node in nodes))
    if any(left):
        names = ", ".join(str(node) for node, attempts in zip(nodes, left) if attempts)
        raise PlatformError(f"containers of {names} did not stop", "Run `panal down` again.")
    return len(nodes)
