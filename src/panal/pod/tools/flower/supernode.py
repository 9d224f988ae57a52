"""The main container of a collaborator: runs a SuperNode, and restarts it when it ends.

The SuperNode connects to the Pod's gateway with plain HTTP on loopback, and retries until the gateway reaches the aggregator.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from types import FrameType

from ..child import Child, described
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
        self.child: Child | None = None
        self.instance = os.environ.get("PANAL_INSTANCE") or uuid.uuid4().hex  # identifies this Pod (`bindings`)
        self.started = 0.0
        self.pause = 0.0

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self.stopping:
            code = self.child.poll() if self.child else None
            if code == UNGUARDED:
                return 1  # it has written the termination message
            if code is not None:
                self._ended(code)
            if self.child is None and time.monotonic() >= self.started + self.pause:
                self._start()
            time.sleep(POLL)
        if self.child:
            self.child.end()
        return 0

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _start(self) -> None:
        words = command("flower-supernode", "--insecure", "--superlink", f"{loopback()}:{gateway_port()}", "--host", loopback())
        words += ["--port", str(number("PANAL_SUPERNODE_PORT", 9094)), "--node-config", node_config()]
        log_line(" ".join(words))
        self.child = Child(words, flower_environment("client") | {"PANAL_INSTANCE": self.instance})
        self.started = time.monotonic()

    def _ended(self, code: int) -> None:
        ran = time.monotonic() - self.started
        self.pause = 0.0 if ran > HEALTHY else min(LONGEST_PAUSE, max(1.0, self.pause * 2))
        log_line(f"the SuperNode ended with {described(code)} after {ran:.0f} s; restarting it in {self.pause:.0f} s")
        if self.child:
            self.child.kill()
        self.child, self.started = None, time.monotonic()
