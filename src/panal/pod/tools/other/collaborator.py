"""The main container of a collaborator: runs spec.client.command, and ends with its exit code.

If the command ends with 0, it has nothing more to do, and this program waits for the end of the run, because the Pod would start it again.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

from ..child import Child, described
from ..data import check_data
from ..files import RunError, gateway_port, log_line, loopback, terminate
from .command import start

POLL = 0.2  # seconds


def main() -> int:
    keeper = Keeper()
    try:
        check_data(os.environ.get("PANAL_DATA_PATH", ""))
        return keeper.run(start(sys.argv[1:], "spec.client.command", f"{loopback()}:{gateway_port()}"))
    except RunError as end:
        terminate(end.reason, end.message)
        return 1


class Keeper:
    """Handles SIGTERM from the beginning: process 1 would ignore it."""

    def __init__(self) -> None:
        self._stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def run(self, child: Child) -> int:
        while child.poll() is None and not self._stopping:
            time.sleep(POLL)
        code = child.code
        child.end(group=True)
        if code is None:
            return 0
        log_line(f"the command has ended with {described(code)}")
        while code == 0 and not self._stopping:
            time.sleep(POLL)
        return code if code >= 0 else 128 - code

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True
