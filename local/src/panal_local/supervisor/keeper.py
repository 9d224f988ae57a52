"""The supervisor: one process without threads that forks the parts, waits for their ends, and starts them again after a short wait.

SIGHUP: the state has changed. SIGTERM: it ends the parts, the hub last, and then itself. If it is killed, the parts end with it (see
`process`), and the next `panal up` starts everything from what is on disk.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from panal_local.supervisor import process
from panal_local.supervisor.folder import HUB, Folder
from panal_local.supervisor.parts import Part
from panal_local.supervisor.process import Process

log = logging.getLogger("panal.supervisor")

FIRST, LONGEST = 0.1, 10.0  # seconds before a part that ended is started again, doubled each time
LIVED = 20.0  # a part that ran so long begins with the first wait again
PATIENCE = 10.0  # between asking a part to end and killing it
LOOK = 60.0  # seconds between looks while nothing happens


@dataclass(slots=True)
class Kept:
    """A part and what is known of its process. `pid` is 0 while there is none. `since` is in seconds since 1970; `again`, on the monotonic
    clock, is when to start it, or to kill it if it is `outdated`."""

    part: Part
    pid: int = 0
    since: float = 0.0
    again: float = 0.0
    failures: int = 0
    outdated: bool = False


class Keeper:
    """`parts` is asked at the start and at each SIGHUP."""

    def __init__(self, folder: Folder, parts: Callable[[], Sequence[Part]], not_for_parts: Sequence[int] = ()) -> None:
        """`not_for_parts` are file descriptors of the supervisor's own."""
        self._folder = folder
        self._parts = parts
        self._own = [*not_for_parts]
        self._kept: dict[str, Kept] = {}

    def run(self) -> int:
        """Until SIGTERM. Returns 1 if another supervisor has the folder."""
        lock = process.take_lock(self._folder)
        if lock is None:
            log.error("another supervisor has %s", self._folder.root)
            return 1
        self._own.append(lock)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)
        self._read_state()
        while (received := self._wait()) != signal.SIGTERM:
            if received == signal.SIGHUP:
                self._read_state()
        self._end([k for k in self._kept.values() if k.part.name != HUB])  # they have things to tell it
        self._end([k for k in self._kept.values() if k.part.name == HUB])
        log.info("ended, and all parts")
        return 0

    def _read_state(self) -> None:
        """A part that is meant otherwise than its process was started is asked to end, and started as it is meant."""
        for part in self._parts():
            kept = self._kept.setdefault(part.name, Kept(part))
            if kept.part != part and kept.pid and not kept.outdated:
                log.info("%s: is started again, since it has changed", part.name)
                kept.outdated, kept.again = True, time.monotonic() + PATIENCE
                os.kill(kept.pid, signal.SIGTERM)
            kept.part = part

    def _wait(self) -> int | None:
        """Does what is due, and waits for a signal or for what is due next."""
        now = time.monotonic()
        for kept in self._kept.values():
            if kept.again <= now and not kept.pid:
                self._begin(kept)
            elif kept.again <= now and kept.outdated:
                os.kill(kept.pid, signal.SIGKILL)
                kept.again = now + PATIENCE
        times = [k.again for k in self._kept.values() if not k.pid or k.outdated]
        received = signal.sigtimedwait(process.SIGNALS, max(0.0, min([*times, now + LOOK]) - time.monotonic()))
        self._collect()
        return received.si_signo if received else None

    def _begin(self, kept: Kept) -> None:
        kept.pid, kept.since = process.start(self._folder, kept.part, self._own), time.time()
        log.info("%s: started, process %d", kept.part.name, kept.pid)
        self._write_down()

    # --- ends ----------------------------------------------------------------------------------------------------
    def _collect(self) -> None:
        """Every part that has ended."""
        for kept in self._kept.values():
            if kept.pid:
                ended, status = os.waitpid(kept.pid, os.WNOHANG)
                if ended:
                    self._on_end(kept, os.waitstatus_to_exitcode(status))

    def _on_end(self, kept: Kept, code: int) -> None:
        now, wanted = time.monotonic(), kept.outdated
        kept.failures = 0 if wanted else 1 if time.time() - kept.since > LIVED else kept.failures + 1
        wait = 0.0 if wanted else min(FIRST * 2 ** (kept.failures - 1), LONGEST)
        kept.pid, kept.outdated, kept.again = 0, False, now + wait
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        log.log(logging.INFO if wanted else logging.WARNING, "%s: ended %s; again in %.1f s", kept.part.name, how, wait)
        self._write_down()

    def _end(self, group: Sequence[Kept]) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for kept in group:
                if kept.pid:
                    os.kill(kept.pid, number)
            until = time.monotonic() + PATIENCE
            while any(kept.pid for kept in group) and (left := until - time.monotonic()) > 0:
                signal.sigtimedwait(process.SIGNALS, left)
                self._collect()

    def _write_down(self) -> None:
        """For `panal status` and for who waits for a part."""
        found = {name: Process(kept.pid, kept.since, kept.failures) for name, kept in self._kept.items()}
        process.write_down(self._folder, found)
