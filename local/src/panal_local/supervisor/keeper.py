"""The supervisor: a process without threads that forks the parts and restarts those that end.

SIGHUP: it reads the state again. SIGTERM: it stops the parts, the hub last, and ends. If it is killed, the parts end too (see `process`),
and the next `panal up` starts everything from the files.
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

log = logging.getLogger(__name__)

FIRST, LONGEST = 0.1, 10.0  # seconds before a restart, doubled each time
STABLE_AFTER = 20.0  # seconds; after that, the delay is the first one again
STOP_TIMEOUT = 10.0  # seconds between SIGTERM and SIGKILL
IDLE_INTERVAL = 60.0  # seconds between checks while nothing happens


@dataclass(slots=True)
class Managed:
    """A part and its process. `pid` is 0 while it does not run. `since` is in seconds since 1970; `due_at`, on the monotonic
    clock, is when to start it, or to kill it if it is `outdated`."""

    part: Part
    pid: int = 0
    since: float = 0.0
    due_at: float = 0.0
    failures: int = 0
    outdated: bool = False


class Keeper:
    """`parts` is called at the start and for each SIGHUP."""

    def __init__(self, folder: Folder, parts: Callable[[], Sequence[Part]], close_in_child: Sequence[int] = ()) -> None:
        """`close_in_child` are file descriptors that the parts must not inherit."""
        self._folder = folder
        self._parts = parts
        self._own = [*close_in_child]
        self._managed: dict[str, Managed] = {}

    def run(self) -> int:
        """Runs until SIGTERM. Returns 1 if another supervisor uses the folder."""
        lock = process.take_lock(self._folder)
        if lock is None:
            log.error("another supervisor has %s", self._folder.root)
            return 1
        self._own.append(lock)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)
        self._update_parts()
        while (received := self._wait()) != signal.SIGTERM:
            if received == signal.SIGHUP:
                self._update_parts()
        self._end([k for k in self._managed.values() if k.part.name != HUB])  # the others write to the hub until they end
        self._end([k for k in self._managed.values() if k.part.name == HUB])
        log.info("ended, and all parts")
        return 0

    def _update_parts(self) -> None:
        """Reads the parts, and restarts those whose definition has changed."""
        for part in self._parts():
            managed = self._managed.setdefault(part.name, Managed(part))
            if managed.part != part and managed.pid and not managed.outdated:
                log.info("%s: is started again, since it has changed", part.name)
                managed.outdated, managed.due_at = True, time.monotonic() + STOP_TIMEOUT
                os.kill(managed.pid, signal.SIGTERM)
            managed.part = part

    def _wait(self) -> int | None:
        """Starts and kills the parts that are due, and waits for a signal or until the next is due."""
        now = time.monotonic()
        for managed in self._managed.values():
            if managed.due_at <= now and not managed.pid:
                self._begin(managed)
            elif managed.due_at <= now and managed.outdated:
                os.kill(managed.pid, signal.SIGKILL)
                managed.due_at = now + STOP_TIMEOUT
        times = [k.due_at for k in self._managed.values() if not k.pid or k.outdated]
        received = signal.sigtimedwait(process.SIGNALS, max(0.0, min([*times, now + IDLE_INTERVAL]) - time.monotonic()))
        self._collect()
        return received.si_signo if received else None

    def _begin(self, managed: Managed) -> None:
        managed.pid, managed.since = process.start(self._folder, managed.part, self._own), time.time()
        log.info("%s: started, process %d", managed.part.name, managed.pid)
        self._save_processes()

    # --- ended parts ---------------------------------------------------------------------------------------------
    def _collect(self) -> None:
        """Reaps all parts that have ended."""
        for managed in self._managed.values():
            if managed.pid:
                ended, status = os.waitpid(managed.pid, os.WNOHANG)
                if ended:
                    self._on_end(managed, os.waitstatus_to_exitcode(status))

    def _on_end(self, managed: Managed, code: int) -> None:
        now, wanted = time.monotonic(), managed.outdated
        managed.failures = 0 if wanted else 1 if time.time() - managed.since > STABLE_AFTER else managed.failures + 1
        wait = 0.0 if wanted else min(FIRST * 2 ** (managed.failures - 1), LONGEST)
        managed.pid, managed.outdated, managed.due_at = 0, False, now + wait
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        log.log(logging.INFO if wanted else logging.WARNING, "%s: ended %s; again in %.1f s", managed.part.name, how, wait)
        self._save_processes()

    def _end(self, group: Sequence[Managed]) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for managed in group:
                if managed.pid:
                    os.kill(managed.pid, number)
            until = time.monotonic() + STOP_TIMEOUT
            while any(managed.pid for managed in group) and (left := until - time.monotonic()) > 0:
                signal.sigtimedwait(process.SIGNALS, left)
                self._collect()

    def _save_processes(self) -> None:
        """For `panal status`, and for commands that wait for a part."""
        found = {name: Process(managed.pid, managed.since, managed.failures) for name, managed in self._managed.items()}
        process.save_processes(self._folder, found)
