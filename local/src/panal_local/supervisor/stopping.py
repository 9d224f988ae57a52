"""`panal down`: stops the supervisor with all parts, then the containers of the nodes. The folder stays."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from panal_local.node.drain import drain
from panal_local.supervisor.folder import SUPERVISOR, Folder, PlatformError
from panal_local.supervisor.process import find, known, signal_process

STOP_TIMEOUT = 45.0  # seconds for the supervisor to stop all parts
GRACE = 5.0  # seconds between SIGTERM and SIGKILL of containers


def end(folder: Folder, tell: Callable[[str], None] = lambda _: None) -> bool:
    """Returns False if nothing was running. Raises PlatformError if something does not stop."""
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
    """The names of the running parts, including the supervisor."""
    return [name for name in (SUPERVISOR, *known(folder)) if find(folder, name)]


def _end_supervisor(folder: Folder) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + STOP_TIMEOUT
        signal_process(folder, SUPERVISOR, number)
        while find(folder, SUPERVISOR):
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        else:
            return
    raise PlatformError("the supervisor did not stop", f"Check the process that {folder.lock} names.")


async def _drain(folder: Folder) -> int:
    """Stops the containers of all nodes. Returns the number of nodes that had containers. Raises PlatformError."""
    nodes = [
        node for node in sorted(folder.root.glob("*/node")) if (node / "forwarder").exists() or next(node.glob("pods/*/containers/*"), None)
    ]
    left = await asyncio.gather(*(drain(node, GRACE) for node in nodes))
    if any(left):
        names = ", ".join(str(node) for node, attempts in zip(nodes, left) if attempts)
        raise PlatformError(f"containers of {names} did not stop", "Run `panal down` again.")
    return len(nodes)
