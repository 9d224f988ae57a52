"""The attempts of a container as folders: POD/containers/NAME/0, 1, 2, … They contain all state that must survive the node.

Each contains spec.json (0600: env values may be secret), lock, started.json, ended.json (see `shim`), `log` and `termination`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIM = Path(__file__).with_name("shim.py")
MARK = "PANAL_CONTAINER"  # environment variable of a container's processes: the folder of its attempt
KEPT = 3  # attempts whose logs are kept
ENDED = 20  # removed Pods whose logs are kept
LOST = "The container's shim ended without a record: it was killed, or the machine was started again"


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    signal: int
    at: float  # seconds since 1970, as all times in this module
    message: str = ""
    reason: str = ""  # if it is neither Completed nor Error


@dataclass(frozen=True, slots=True)
class Attempt:
    number: int
    folder: Path
    started: float
    ended: Ended | None = None

    @property
    def running(self) -> bool:
        return self.ended is None


def attempts(container: Path) -> list[Attempt]:
    """The kept attempts, oldest first."""
    numbers = sorted(int(p.name) for p in container.glob("[0-9]*")) if container.is_dir() else []
    return [found for n in numbers if (found := _read(container / str(n)))]


def _read(folder: Path) -> Attempt | None:
    """Reads an attempt. Returns None, and removes the folder, if the shim was killed or not started before it wrote started.json, which it
    writes before it starts the container."""
    alive = held(folder)  # checked before the files are read
    started, ended = _load(folder / "started.json"), _load(folder / "ended.json")
    began = _began(folder)
    number = int(folder.name)
    if alive:  # also for the moment between ended.json and the end of the shim, which the node waits for
        return Attempt(number, folder, began)
    if ended:
        reason = "ContainerStatusUnknown" if ended.get("lost") else "StartError" if ended["message"] else ""
        return Attempt(number, folder, began, Ended(ended["code"], ended["signal"], ended["at"], ended["message"], reason))
    if started is None:
        shutil.rmtree(folder)
        return None
    sweep(folder)
    at = time.time()
    (folder / "ended.json").write_text(json.dumps({"code": 137, "signal": 0, "at": at, "message": LOST, "lost": True}))
    return Attempt(number, folder, began, Ended(137, 0, at, LOST, "ContainerStatusUnknown"))


def _began(folder: Path) -> float:
    """The time at which the node created the attempt, which stays the same while the shim writes its records."""
    for path in (folder / "spec.json", folder):
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_mtime
    return time.time()  # it is being removed


def _load(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return content


def held(folder: Path) -> bool:
    """Whether a shim holds the attempt's lock."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def start(container: Path, number: int, command: list[str], env: dict[str, str], cwd: str) -> Attempt:
    """Starts attempt `number` and removes old attempts."""
    folder = container / str(number)
    folder.mkdir(parents=True, mode=0o700)
    spec = folder / "spec.json"
    spec.touch(mode=0o600)
    spec.write_text(json.dumps({"command": command, "env": env | {MARK: str(folder)}, "cwd": cwd}))
    (folder / "log").touch(mode=0o600)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.set_inheritable(handle, True)
        _spawn(folder)
    finally:
        os.close(handle)
    for old in attempts(container)[:-KEPT]:
        shutil.rmtree(old.folder, ignore_errors=True)
    return Attempt(number, folder, _began(folder))


def _spawn(folder: Path) -> None:
    """Starts the shim in a new session. Not with `subprocess`, which would wait for its end."""
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", str(SHIM), str(folder)], os.environ, file_actions=null, setsid=True)


def shim_pid(attempt: Attempt) -> int | None:
    """The shim's process id; None if it has ended or not written started.json yet."""
    started = _load(attempt.folder / "started.json")
    return started["pid"] if started and held(attempt.folder) else None


def send(attempt: Attempt, number: signal.Signals) -> None:
    pid = shim_pid(attempt)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def shim_of(attempt: Attempt) -> int | None:
    """Waits for the shim's process id; None if it has ended."""
    while held(attempt.folder):
        if pid := shim_pid(attempt):
            return pid
        await asyncio.sleep(0.02)
    return None


async def end(attempt: Attempt, deadline: float) -> None:
    """Sends SIGTERM, and at the deadline, in seconds since 1970, SIGKILL."""
    if await shim_of(attempt) is None:
        return
    send(attempt, signal.SIGTERM)
    await asyncio.sleep(max(0.0, deadline - time.time()))
    send(attempt, signal.SIGUSR1)


async def ended(pid: int, open_: Callable[[int], int] = os.pidfd_open) -> None:
    """Waits for the end of a process, which may be a child or not. Reaps a child."""
    try:
        handle = open_(pid)
    except ProcessLookupError:
        return
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  does not wait


def sweep(folder: Path) -> None:
    """Kills the processes of a lost shim, found by the variable in their environment."""
    mark = f"{MARK}={folder}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def kept_logs(node: Path, namespace: str, pod: str) -> Path:
    """The folder with NAME.log for each container NAME of a removed Pod. `node` is the node's folder."""
    return node / "ended" / f"{namespace}_{pod}"


def out_of_the_way(pod: Path, node: Path) -> Path:
    """Moves the folder of a removed Pod, so that the log server does not find it while it is being deleted. Returns the new path."""
    place = node / "removed" / pod.name
    place.parent.mkdir(exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        pod.rename(place)
    return place


def clear_removed(node: Path) -> None:
    """Deletes what a node that was killed has left of removed Pods."""
    shutil.rmtree(node / "removed", ignore_errors=True)


def keep_logs(pod: Path, place: Path) -> None:
    """Moves the last log of each container to `place` (see `kept_logs`), and removes the oldest of such folders."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    for container in pod.glob("containers/*"):
        if known := attempts(container):
            with contextlib.suppress(FileNotFoundError):  # already moved by a node that was killed meanwhile
                (known[-1].folder / "log").replace(place / f"{container.name}.log")
    place.touch()
    for old in sorted(place.parent.iterdir(), key=lambda p: p.stat().st_mtime)[:-ENDED]:
        shutil.rmtree(old, ignore_errors=True)
