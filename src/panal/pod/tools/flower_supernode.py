"""Main container of a collaborator: keeps a SuperNode running against the aggregator's address, and starts it anew when it has to.

The address is a file of a mounted ConfigMap, which the site's agent may change at any time. As process 1 of its container this program
also collects the processes that Flower leaves behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType

from .files import RunError, flower_environment, loopback, number, say, terminate

POLL = 0.5  # seconds
LONGEST_PAUSE = 10.0  # between two starts
HEALTHY = 60.0  # a SuperNode that ran for so long starts anew without a pause
GRACE = 10.0  # between SIGTERM and SIGKILL


def main() -> int:
    try:
        check_data(os.environ.get("PANAL_DATA_PATH", ""))
        return Keeper(Path(os.environ.get("PANAL_CONFIG_DIR", "/panal/config")) / "address").run()
    except RunError as end:
        terminate(end.reason, end.message)
        return 1


def check_data(path: str) -> None:
    """Where data is used it has to be there: a missing volume must not look like a site that learnt nothing."""
    if not path:
        return
    try:
        empty = Path(path).is_dir() and not any(Path(path).iterdir())
        readable = os.access(path, os.R_OK)
        exists = Path(path).exists()
    except OSError as error:
        raise RunError("DataNotFound", f"The data cannot be read: {error}") from error
    if not exists or not readable or empty:
        what = "does not exist" if not exists else "is empty" if empty else "cannot be read by this user id"
        raise RunError("DataNotFound", f"The data at {path} {what}")


def node_config() -> str:
    """Flower's node config, which the app reads from its context."""
    values = {"cluster-name": os.environ.get("PANAL_CLUSTER", ""), "data-path": os.environ.get("PANAL_DATA_PATH", "")}
    return " ".join(f"{key}={json.dumps(value)}" for key, value in values.items() if value)


def read_address(file: Path) -> str:
    """`host:port`, an IPv6 host in brackets; empty while there is none."""
    try:
        text = file.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit()):
        if text:
            say(f"{file} holds {text!r}, which is no host:port; waiting")
        return ""
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{port}"


class Keeper:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.stopping = False
        self.child: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.started = 0.0
        self.pause = 0.0

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self.stopping:
            self.step()
            time.sleep(POLL)
        self._end_child()
        return 0

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def step(self) -> None:
        """One look at the address and the SuperNode."""
        self._collect()
        address = read_address(self.file)
        if self.child is not None and self.child.returncode is not None:
            self._ended(self.child.returncode)
        elif self.child is not None and address and address != self.address:
            say(f"the aggregator's address is {address} now")
            self._end_child()
        if self.child is None and address and time.monotonic() >= self.started + self.pause:
            self._start(address)

    def _start(self, address: str) -> None:
        command = ["flower-supernode", "--insecure", "--superlink", address, "--host", loopback()]
        command += ["--port", str(number("PANAL_SUPERNODE_PORT", 9094)), "--node-config", node_config()]
        say(" ".join(command))
        try:
            self.child = subprocess.Popen(command, env=flower_environment("client"), start_new_session=True)
        except FileNotFoundError as error:
            message = "spec.client.image holds no Flower: flower-supernode is not on its PATH. Install flwr 1.41 in the image"
            raise RunError("AppInvalid", message) from error
        self.address, self.started = address, time.monotonic()

    def _ended(self, code: int) -> None:
        ran = time.monotonic() - self.started
        self.pause = 0.0 if ran > HEALTHY else min(LONGEST_PAUSE, max(1.0, self.pause * 2))
        say(f"the SuperNode ended with {code} after {ran:.0f} s; starting it anew in {self.pause:.0f} s")
        self._signal(signal.SIGKILL)  # what it left behind
        self.child, self.started = None, time.monotonic()

    def _end_child(self) -> None:
        if self.child is None:
            return
        os.kill(self.child.pid, signal.SIGTERM)
        end = time.monotonic() + GRACE
        while self.child.returncode is None and time.monotonic() < end:
            time.sleep(0.1)
            self._collect()
        self._signal(signal.SIGKILL)
        self.child, self.pause = None, 0.0

    def _signal(self, number_: int) -> None:
        """To the SuperNode and all that it started."""
        if self.child is not None:
            try:
                os.killpg(self.child.pid, number_)
            except ProcessLookupError:
                return

    def _collect(self) -> None:
        """Every ended child, adopted ones as well; ours tells its exit code by it."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.child is not None and pid == self.child.pid:
                self.child.returncode = os.waitstatus_to_exitcode(status)
