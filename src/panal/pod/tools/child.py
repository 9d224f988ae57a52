"""A child process of a container's main program, which also reaps the processes that the child leaves behind, as process 1 must."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

GRACE = 10.0  # seconds between SIGTERM and SIGKILL
POLL = 0.1  # seconds


class Child:
    """`code` is its exit code once `poll` has seen its end: the negative number of a signal that killed it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Raises OSError if the program cannot be started."""
        self._process = subprocess.Popen(command, env=env, start_new_session=True)
        self.code: int | None = None

    def poll(self) -> int | None:
        """Reaps all children that have ended, including adopted ones, and returns `code`."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self.code
            if pid == 0:
                return self.code
            if pid == self._process.pid:
                self.code = self._process.returncode = os.waitstatus_to_exitcode(status)

    def end(self, *, group: bool = False) -> None:
        """Sends SIGTERM to the child, or to all processes of its group, and SIGKILL after GRACE seconds to what is left of the group."""
        if group:
            self._signal(signal.SIGTERM)
        elif self.poll() is None:
            self._process.terminate()
        end = time.monotonic() + GRACE
        while (self.poll() is None or (group and self._signal(0))) and time.monotonic() < end:
            time.sleep(POLL)
        self.kill()

    def kill(self) -> None:
        """Kills what is left of the child and of the processes that it has started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """Sends a signal to the group. False if there is none any more."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True


def described(code: int) -> str:
    """How a process ended, such as `exit code 1` or `signal 9 (Killed)`."""
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code) or 'unknown'})"
