"""The supported version of FLARE, and its processes. A process of a job is in a session of its own, so the end of FLARE's main process does
not end it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

from ..child import Child
from ..files import RunError
from .codes import FlareEnding
from .start import command

SUPPORTED = "2.9."


def refuse_unknown() -> None:
    """Raises RunError unless a supported FLARE is installed."""
    found = next((each.version for each in distributions(name="nvflare")), "")
    if not found.startswith(SUPPORTED):
        have = f"nvflare {found}" if found else "no nvflare"
        raise RunError(FlareEnding.FLARE_NOT_SUPPORTED, f"The image has {have}; panal supports nvflare {SUPPORTED}*")


def folder() -> Path:
    """FLARE's workspace: its settings, its jobs, and what they write."""
    return Path(os.environ.get("PANAL_WORK_DIR") or "/panal/work") / "flare"


def start(module: str, arguments: list[str], hook: str) -> Child:
    """Starts FLARE's server or client with the hooks of `hook`, without the settings that panal makes itself."""
    settings = {"PANAL_RUNTIME": "flare", "PANAL_HOOK": hook, "PYTHONUNBUFFERED": "1", "NVFLARE_DEAD_CLIENT_GRACE_PERIOD": "10"}
    tools = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(each for each in (tools, os.environ.get("PYTHONPATH", "")) if each)
    return Child(command(module, *arguments), {**os.environ, **settings, "PYTHONPATH": path})


def end(child: Child) -> None:
    """Ends FLARE's main process and the processes that it has started."""
    started = descendants(os.getpid(), parents())
    child.end()
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    child.poll()


def parents() -> dict[int, int]:
    """The parent of each process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def descendants(process: int, parents: Mapping[int, int]) -> list[int]:
    children = [each for each, parent in parents.items() if parent == process]
    return children + [each for child in children for each in descendants(child, parents)]
