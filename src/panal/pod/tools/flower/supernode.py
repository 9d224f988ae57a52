"""The main container of a collaborator: runs a SuperNode, and restarts it when it ends.

The SuperNode connects to the Pod's gateway with plain HTTP on loopback, and retries until the gateway reaches the aggregator. As process 1
of the container, this program also reaps the processes that Flower leaves behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from types import FrameType

from ..data import check_data
from ..files import RunError, gateway_port, log_line, loopback, number, terminate
from ..working_directory import enter
from .app_folder import app_folder
from .codes import FlowerEnding
from .environment import flower_environment
from .known import differs, unknown
from .site import app_hash
from .start import UNGUARDED, command

POLL = 0.5  # seconds
LONGEST_PAUSE = 10.0  # seconds before a restart
HEALTHY = 60.0  # seconds after which a SuperNode restarts without a pause
GRACE = 10.0  # seconds between SIGTERM and SIGKILL


def main() -> int:
    try:
        check_data(os.environ.get("PANAL_DATA_PATH", ""))
        if why := unknown():
            raise RunError(FlowerEnding.FLOWER_NOT_SUPPORTED, why)
        if why := differs(os.environ.get("PANAL_FLOWER_VERSION", "")):
            raise RunError(FlowerEnding.FLOWER_VERSIONS_DIFFER, why)
        app_hash()
        enter(app_folder)
        return Keeper().run()
    except RunError as end:
        terminate(end.reason, end.message)
        return 1


def node_config() -> str:
    """The node config in Flower's command line syntax. The client app reads it from its context."""
    texts = {"cluster-name": os.environ.get("PANAL_CLUSTER", ""), "data-path": os.environ.get("PANAL_DATA_PATH", "")}
    numbers = {"partition-id": os.environ.get("PANAL_PARTITION_ID", ""), "num-partitions": os.environ.get("PANAL_NUM_PARTITIONS", "")}
    values = {**{key: json.dumps(text) for key, text in texts.items() if text}, **{key: text for key, text in numbers.items() if text}}
    return " ".join(f"{key}={value}" for key, value in values.items())


class Keeper:
    def __init__(self) -> None:
        self.stopping = False
        self.child: subprocess.Popen[bytes] | None = None
        self.instance = os.environ.get("PANAL_INSTANCE") or uuid.uuid4().hex  # identifies this Pod (`bindings`)
        self.started = 0.0
        self.pause = 0.0

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self.stopping:
            self._collect()
            if self.child is not None and self.child.returncode == UNGUARDED:
                return 1  # it has written the termination message
            if self.child is not None and self.child.returncode is not None:
                self._ended(self.child.returncode)
            if self.child is None and time.monotonic() >= self.started + self.pause:
                self._start()
            time.sleep(POLL)
        self._end_child()
        return 0

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _start(self) -> None:
        words = command("flower-supernode", "--insecure", "--superlink", f"{loopback()}:{gateway_port()}", "--host", loopback())
        words += ["--port", str(number("PANAL_SUPERNODE_PORT", 9094)), "--node-config", node_config()]
        log_line(" ".join(words))
        env = flower_environment("client") | {"PANAL_INSTANCE": self.instance}
        self.child = subprocess.Popen(words, env=env, start_new_session=True)
        self.started = time.monotonic()

    def _ended(self, code: int) -> None:
        ran = time.monotonic() - self.started
        self.pause = 0.0 if ran > HEALTHY else min(LONGEST_PAUSE, max(1.0, self.pause * 2))
        log_line(f"the SuperNode ended with {code} after {ran:.0f} s; restarting it in {self.pause:.0f} s")
        self._signal(signal.SIGKILL)  # to its remaining children
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
        """Sends a signal to the SuperNode and its children."""
        if self.child is not None:
            try:
                os.killpg(self.child.pid, number_)
            except ProcessLookupError:
                return

    def _collect(self) -> None:
        """Reaps all children, including adopted ones, and sets the SuperNode's exit code."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.child is not None and pid == self.child.pid:
                self.child.returncode = os.waitstatus_to_exitcode(status)
