"""`python -I -S shim.py FOLDER`: runs one container, outlives the node, and writes down how the container ended.

FOLDER/spec.json says what to run: {"command", "env", "cwd"}. The shim writes started.json {"pid": its own, "at"}, the container's output to
`log`, and in the end ended.json {"code", "signal", "at", "message"}. It holds a lock on FOLDER/lock, inherited from the node as a file
descriptor: as long as somebody holds it, the container runs. SIGTERM goes on to the container's first process; SIGUSR1 kills it.

The first process is a session of its own. Whatever it started counts as the container, in other sessions as well: this process is
their subreaper, and ends what is left when the first has ended, as the end of a PID namespace would. Standard library only.
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
CAP_DAC_OVERRIDE = 1  # of root: to write whatever the modes of files say. Images are read-only for containers by their modes alone
CANNOT_START = 128  # the exit code that containerd gives to a command that is not there

child = 0


def main() -> int:
    folder = Path(sys.argv[1])
    spec = json.loads((folder / "spec.json").read_text())
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    keep_files()
    signals = {signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # until there is a child to hand them to
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGUSR1, pass_on)
    write(folder / "started.json", {"pid": os.getpid(), "at": time.time()})
    message = start(spec, folder)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    status = None if message else wait_for(child)
    end_rest()
    write(folder / "ended.json", outcome(status, message))
    return 0


def keep_files() -> None:
    """The lock is ours alone: a container that held it as well would seem to run as long as anything of it does."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # the folder that is being listed
                os.set_inheritable(int(entry.name), False)


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def pass_on(number: int, _frame: FrameType | None) -> None:
    try:
        os.kill(child, signal.SIGKILL if number == signal.SIGUSR1 else number)
    except ProcessLookupError:
        return


def start(spec: dict[str, Any], folder: Path) -> str:
    """Starts the container; returns why that failed, or nothing."""
    global child
    read, write_end = os.pipe()  # closed by a successful exec
    log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    child = os.fork()
    if child == 0:
        become(spec, log, write_end)
    os.close(write_end)
    os.close(log)
    with os.fdopen(read) as pipe:
        message = pipe.read()
    if message:
        os.waitpid(child, 0)
    return message


def become(spec: dict[str, Any], log: int, pipe: int) -> None:
    try:
        os.setsid()
        prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)  # fails for whoever has it not
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would record the end of a container without its shim
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
    except BaseException as error:  # noqa: BLE001  whatever it is, the record tells it
        os.write(pipe, f'exec: "{spec["command"][0]}": {error}'.encode())
    finally:
        os._exit(CANNOT_START)


def wait_for(pid: int) -> int:
    """The wait status of `pid`; what else ends meanwhile is collected."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status


def end_rest() -> None:
    """Processes whose parents die become ours, so this goes on until there are none."""
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
    """Written beside, then renamed: a reader sees all of it or nothing."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
