"""`python -I -S shim.py FOLDER`: runs one container, survives the node, and records how the container ended.

FOLDER/spec.json has the process to run: {"command", "env", "cwd"}. The shim writes started.json {"pid": its own}, the container's
output to `log`, and at the end ended.json {"code", "signal", "at", "message"}. It holds a lock on FOLDER/lock, whose file descriptor it
inherits from the node: while the lock is held, the container runs. SIGTERM is forwarded to the container's first process; SIGUSR1 kills it.

The first process has its own session. All its descendants belong to the container, also those in other sessions: the shim is their
subreaper, and kills them when the first process has ended, as the end of a PID namespace would. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 24, 36
CAP_DAC_OVERRIDE = 1  # lets root ignore the modes of files, by which images are read-only
CANNOT_START = 128  # containerd's exit code for a missing command

child = 0


def main() -> int:
    folder = Path(sys.argv[1])
    spec = json.loads((folder / "spec.json").read_text())
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    keep_files()
    signals = {signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # until the child exists
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, forward_signal)
    signal.signal(signal.SIGUSR1, forward_signal)
    write(folder / "started.json", {"pid": os.getpid()})
    message = start(spec, folder)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    status = None if message else wait_for(child)
    end_rest()
    write(folder / "ended.json", outcome(status, message))
    return 0


def keep_files() -> None:
    """Keeps the lock from the container: its processes would hold the lock after the container has ended."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                os.set_inheritable(int(entry.name), False)


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def forward_signal(number: int, _frame: FrameType | None) -> None:
    try:
        os.kill(child, signal.SIGKILL if number == signal.SIGUSR1 else number)
    except ProcessLookupError:
        return


def start(spec: dict[str, Any], folder: Path) -> str:
    """Starts the container. Returns an error message, or an empty string."""
    global child
    read, write_end = os.pipe()  # closed by a successful exec
    log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    child = os.fork()
    if child == 0:
        exec_container(spec, log, write_end)
    os.close(write_end)
    os.close(log)
    with os.fdopen(read) as pipe:
        message = pipe.read()
    if message:
        os.waitpid(child, 0)
    return message


def exec_container(spec: dict[str, Any], log: int, pipe: int) -> None:
    try:
        os.setsid()
        prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)  # fails without the capability, which is fine
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # without the shim, nothing would record the end
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(spec["cwd"])
        os.execvpe(spec["command"][0], spec["command"], spec["env"])
    except FileNotFoundError as error:
        what = f"no such folder: {error.filename}" if error.filename == spec["cwd"] else "executable file not found in $PATH"
        os.write(pipe, f'exec: "{spec["command"][0]}": {what}'.encode())
    except BaseException as error:  # noqa: BLE001  the record contains any error
        os.write(pipe, f'exec: "{spec["command"][0]}": {error}'.encode())
    finally:
        os._exit(CANNOT_START)


def wait_for(pid: int) -> int:
    """Waits for `pid` and returns its wait status. Reaps other children meanwhile."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status


def end_rest() -> None:
    """Kills all descendants: those whose parents end become children of the shim, until none remain."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        for pid in children.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def outcome(status: int | None, message: str) -> dict[str, Any]:
    ended = CANNOT_START if status is None else os.waitstatus_to_exitcode(status)
    number = -ended if ended < 0 else 0
    return {"code": 128 + number if number else ended, "signal": number, "at": time.time(), "message": message}


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes a temporary file and renames it, so that a reader sees a complete file."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
