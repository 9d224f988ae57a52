"""The supervisor: one process without threads that forks the parts, waits for their ends, and starts them again after a short wait.

It knows its parts by handles (pidfd), whether it started them or found them, left by a supervisor before it. SIGHUP: the state has changed.
SIGTERM: it ends, and the parts stay; `panal down` ends those.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from panal_local.supervisor import process
from panal_local.supervisor.folder import SUPERVISOR, Folder
from panal_local.supervisor.parts import Part

log = logging.getLogger("panal.supervisor")

FIRST, LONGEST = 0.1, 10.0  # seconds before a part that ended is started again, doubled each time
LIVED = 20.0  # a part that ran so long begins with the first wait again
PATIENCE = 10.0  # between asking an outdated part to end and killing it


@dataclass(slots=True)
class Kept:
    """A part and what is known of its process. `handle` is None while there is none; `again` is when to start it, or to kill it if it is
    `outdated`."""

    part: Part
    handle: int | None = None
    pid: int = 0
    since: float = 0.0
    again: float = 0.0
    failures: int = 0
    outdated: bool = False


class Keeper:
    """`parts` is asked at the start and at each SIGHUP. `reserved` is the socket that makes the range of addresses ours."""

    def __init__(self, folder: Folder, parts: Callable[[], Sequence[Part]], reserved: socket.socket | None = None) -> None:
        self._folder = folder
        self._parts = parts
        self._reserved = reserved
        self._kept: dict[str, Kept] = {}
        self._selector = selectors.DefaultSelector()
        self._signals, self._wake = socket.socketpair()
        self._asked: set[int] = set()

    def run(self) -> int:
        """Until SIGTERM. Returns 1 if another supervisor has the folder."""
        lock = process.take_lock(self._folder, SUPERVISOR)
        if lock is None:
            log.error("another supervisor has %s", self._folder.root)
            return 1
        self._listen()
        process.write_down(lock, "", 0)
        self._own = [lock, self._signals.fileno(), self._wake.fileno(), self._selector.fileno()]
        self._read_state()
        while signal.SIGTERM not in self._asked:
            if signal.SIGHUP in self._asked:
                self._read_state()
            self._asked.clear()
            self._look()
            self._wait()
        log.info("ended; the parts stay")
        return 0

    # --- signals -------------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        for end in (self._signals, self._wake):
            end.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake.fileno())
        self._selector.register(self._signals, selectors.EVENT_READ, None)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._asked.add(number)

    def _read_state(self) -> None:
        for part in self._parts():
            self._kept.setdefault(part.name, Kept(part)).part = part
        for kept in self._kept.values():
            self._check(kept)

    # --- parts ---------------------------------------------------------------------------------------------------
    def _look(self) -> None:
        now = time.monotonic()
        for kept in self._kept.values():
            if kept.again > now:
                continue
            if kept.handle is None:
                self._begin(kept)
            elif kept.outdated:
                self._signal(kept, signal.SIGKILL)
                kept.again = now + PATIENCE

    def _begin(self, kept: Kept) -> None:
        handles = [*self._own, *(k.handle for k in self._kept.values() if k.handle is not None)]
        pid = process.start(self._folder, kept.part, kept.failures, handles)
        if pid is not None:
            self._follow(kept, pid, os.pidfd_open(pid), time.monotonic())
            log.info("%s: started, process %d", kept.part.name, pid)
        elif found := process.open_process(self._folder, kept.part.name):
            self._follow(kept, found[0].pid, found[1], time.monotonic() - (time.time() - found[0].since))
            log.info("%s: found, process %d", kept.part.name, kept.pid)
            self._check(kept)

    def _follow(self, kept: Kept, pid: int, handle: int, since: float) -> None:
        kept.pid, kept.handle, kept.since, kept.outdated = pid, handle, since, False
        self._selector.register(handle, selectors.EVENT_READ, kept)

    def _check(self, kept: Kept) -> None:
        """Asks a process to end that was started otherwise than the part is meant now."""
        found = process.find(self._folder, kept.part.name) if kept.handle is not None else None
        if found and found.digest != kept.part.digest and not kept.outdated:
            log.info("%s: is started again, since it has changed", kept.part.name)
            kept.outdated, kept.again = True, time.monotonic() + PATIENCE
            self._signal(kept, signal.SIGTERM)

    def _signal(self, kept: Kept, number: signal.Signals) -> None:
        assert kept.handle is not None
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(kept.handle, number)

    # --- waiting -------------------------------------------------------------------------------------------------
    def _wait(self) -> None:
        times = [k.again for k in self._kept.values() if k.handle is None or k.outdated]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                with suppress(BlockingIOError):
                    self._signals.recv(100)
            else:
                self._on_end(key.data)

    def _on_end(self, kept: Kept) -> None:
        assert kept.handle is not None
        self._selector.unregister(kept.handle)
        os.close(kept.handle)
        how = self._collect(kept.pid)
        now = time.monotonic()
        wanted = kept.outdated
        kept.failures = 0 if wanted else 1 if now - kept.since > LIVED else kept.failures + 1
        wait = 0.0 if wanted else min(FIRST * 2 ** (kept.failures - 1), LONGEST)
        kept.handle, kept.outdated, kept.again = None, False, now + wait
        log.log(logging.INFO if wanted else logging.WARNING, "%s: ended%s; again in %.1f s", kept.part.name, how, wait)

    def _collect(self, pid: int) -> str:
        """How it ended, if it was our child."""
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return ""
        if not ended:
            return ""
        code = os.waitstatus_to_exitcode(status)
        return f" by signal {-code}" if code < 0 else f" with {code}"
