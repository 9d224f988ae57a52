"""One part as a process: forked from the supervisor, which has imported what all of them need, so that it starts in milliseconds.

A part holds a lock on its file under run/ for as long as it lives, inherited from the supervisor as a file descriptor, and writes down
there who it is. So a supervisor that comes later finds it, and a process id that was given to another process confuses nobody. Parts are
sessions of their own: they outlive the supervisor.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from panal_local.supervisor.folder import Folder
from panal_local.supervisor.parts import Part

LOG_SIZE = 10_000_000
LOOK_AGAIN = 0.02  # seconds between looks at what a part waits for
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Process:
    """A living process. `failures` counts how often in a row the part ended soon before this one."""

    pid: int
    digest: str
    since: float  # seconds since 1970
    failures: int


def preload(name: str) -> None:
    """Imports the module, and lets it warm up, for all that is forked afterwards. There may be no thread and no loop."""
    if name in sys.modules:
        return
    module = importlib.import_module(name)
    if hasattr(module, "warm_up"):
        module.warm_up()
    gc.collect()
    gc.freeze()


def find(folder: Folder, name: str) -> Process | None:
    """The process that holds the part's lock. While it has not written down who it is yet: waits for that, for a second."""
    for _ in range(500):
        try:
            handle = os.open(folder.lock(name), os.O_RDWR)
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


def open_process(folder: Folder, name: str) -> tuple[Process, int] | None:
    """The part's process and a handle of it (a pidfd) that never means another process."""
    process = find(folder, name)
    if process is None:
        return None
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if find(folder, name) == process:
        return process, handle
    os.close(handle)
    return None


def signal_process(folder: Folder, name: str, number: signal.Signals) -> bool:
    """False if there is none."""
    found = open_process(folder, name)
    if found is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(found[1], number)
    os.close(found[1])
    return True


def take_lock(folder: Folder, name: str) -> int | None:
    """The locked file, emptied; None if somebody holds it."""
    handle = os.open(folder.lock(name), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    return handle


def write_down(handle: int, digest: str, failures: int) -> None:
    """Who we are, into the locked file: at once, so that nobody reads half of it."""
    os.pwrite(handle, json.dumps({"pid": os.getpid(), "digest": digest, "since": time.time(), "failures": failures}).encode(), 0)


def start(folder: Folder, part: Part, failures: int, not_for_it: Iterable[int]) -> int | None:
    """The new process's id; None if the part runs already. `not_for_it` are file descriptors of the supervisor's own."""
    preload(part.module)
    lock = take_lock(folder, part.name)
    if lock is None:
        return None
    pid = os.fork()
    if pid == 0:
        _become(folder, part, lock, failures, not_for_it)
    os.close(lock)
    return pid


def _become(folder: Folder, part: Part, lock: int, failures: int, not_for_it: Iterable[int]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        write_down(lock, part.digest, failures)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for handle in not_for_it:
            os.close(handle)
        open_log(folder.log(part.name))
        logging.root.handlers.clear()  # the part says itself how it logs
        os.environ.update(part.env)
        wait_for(part)
        run(part)
        code = 0
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:  # noqa: BLE001  it is the end of this process, and its log tells why
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
    """Standard output and error go there from now on; a log that has grown large becomes NAME.log.1 first."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_SIZE:
            path.replace(path.with_suffix(".log.1"))
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in (1, 2):
        os.dup2(handle, number)
    os.close(handle)


def wait_for(part: Part) -> None:
    """Until its files are there and its servers accept connections."""
    for path in part.files:
        while not path.exists():
            time.sleep(LOOK_AGAIN)
    for address in part.servers:
        while not _reachable(address):
            time.sleep(LOOK_AGAIN)


def _reachable(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 5).close()
    except OSError:
        return False
    return True


def run(part: Part) -> None:
    function = part.entry.partition(":")[2]
    getattr(importlib.import_module(part.module), function)(*part.arguments)
