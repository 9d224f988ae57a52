"""A part as a process. It is forked from the supervisor, which has imported the common modules, so that it starts in milliseconds.

The supervisor holds a lock on a file in run/ while it runs, and writes the process ids of the parts to another file there. The parts end
with the supervisor (parent-death signal), so that file is valid while the lock is held, and without the lock no part runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from panal_local import files
from panal_local.supervisor.folder import SUPERVISOR, Folder
from panal_local.supervisor.parts import Part

LOG_SIZE = 10_000_000
POLL_INTERVAL = 0.02  # seconds between checks of what a part waits for
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)  # that the supervisor waits for
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Process:
    """`pid` is 0 while a part waits for its restart. `failures` counts consecutive runs that ended soon."""

    pid: int
    since: float  # seconds since 1970
    failures: int = 0


def preload(name: str) -> None:
    """Imports the module and calls its `warm_up`, for all later forks. No thread or event loop may exist."""
    if name in sys.modules:
        return
    module = importlib.import_module(name)
    if hasattr(module, "warm_up"):
        module.warm_up()
    gc.collect()
    gc.freeze()


def find(folder: Folder, name: str) -> Process | None:
    """The process of the supervisor or of a part; None if it does not run."""
    supervisor = _supervisor(folder)
    found = supervisor if name == SUPERVISOR else known(folder).get(name) if supervisor else None
    return found if found and found.pid else None


def known(folder: Folder) -> dict[str, Process]:
    """The parts that the supervisor last recorded, which may have ended."""
    try:
        return {name: Process(**found) for name, found in json.loads(folder.parts.read_text()).items()}
    except FileNotFoundError:
        return {}


def save_processes(folder: Folder, parts: Mapping[str, Process]) -> None:
    files.write(folder.parts, json.dumps({name: asdict(found) for name, found in parts.items()}))


def _supervisor(folder: Folder) -> Process | None:
    """The process that holds the lock. Waits up to a second for it to write its process id."""
    for _ in range(500):
        try:
            handle = os.open(folder.lock, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if text := os.read(handle, 1000):
                return Process(**json.loads(text))
        else:
            return None
        finally:
            os.close(handle)
        time.sleep(0.002)
    return None


def signal_process(folder: Folder, name: str, number: signal.Signals) -> bool:
    """Sends a signal. Returns False if the process does not run."""
    found = find(folder, name)
    if found is None:
        return False
    try:
        os.kill(found.pid, number)
    except ProcessLookupError:
        return False
    return True


def take_lock(folder: Folder) -> int | None:
    """Locks the supervisor's file, writes this process id to it, and returns the descriptor; None if another process holds the lock."""
    handle = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    save_processes(folder, {})  # before this process names itself: an earlier supervisor's entries are no longer valid
    os.pwrite(handle, json.dumps(asdict(Process(os.getpid(), time.time()))).encode(), 0)
    return handle


def start(folder: Folder, part: Part, close_in_child: Iterable[int]) -> int:
    """Forks a process for the part and returns its id. `close_in_child` are file descriptors that it must not inherit."""
    preload(part.module)
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        _run_child(folder, part, supervisor, close_in_child)
    return pid


def _run_child(folder: Folder, part: Part, supervisor: int, close_in_child: Iterable[int]) -> NoReturn:
    code = 1
    try:
        for handle in close_in_child:
            os.close(handle)
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != supervisor:
            sys.exit("the supervisor has ended")
        for number in (*SIGNALS, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        open_log(folder.log(part.name))
        logging.root.handlers.clear()  # the part configures its own logging
        os.environ.update(part.env)
        wait_for(part)
        run(part)
        code = 0
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:  # noqa: BLE001  the process ends, and its log has the error
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _exit_code(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


def open_log(path: Path) -> None:
    """Redirects standard output and error to the file. A large log is first renamed to NAME.log.1."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_SIZE:
            path.replace(path.with_suffix(".log.1"))
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in (1, 2):
        os.dup2(handle, number)
    os.close(handle)


def wait_for(part: Part) -> None:
    """Waits until the part's files exist and its servers accept connections."""
    for path in part.files:
        while not path.exists():
            time.sleep(POLL_INTERVAL)
    for address in part.servers:
        while not _reachable(address):
            time.sleep(POLL_INTERVAL)


def _reachable(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 5).close()
    except OSError:
        return False
    return True


def run(part: Part) -> None:
    function = part.entry.partition(":")[2]
    getattr(importlib.import_module(part.module), function)(*part.arguments)
