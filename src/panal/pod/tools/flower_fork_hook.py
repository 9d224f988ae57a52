"""Inside Flower's SuperExec, which starts a process for every message: they are forked from one that has imported already.

Nearly all of what such a process costs is importing Flower and the app's libraries. `flower_fork_server` does that once; here, what
SuperExec would start is handed to it over a socket. Without it (it could not start, or has ended) the program is started as ever.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from .files import say

PROGRAMS = ("flwr-clientapp", "flwr-serverapp")
KNOWN = ("1.41.",)  # of Flower: with another version this is left alone
GPUS = ("/dev/nvidia[0-9]*", "/dev/kfd")  # a device that was opened before the fork cannot be used after it


def why_not() -> str:
    """Why processes are not forked here; empty if they are."""
    from importlib.metadata import version

    if os.environ.get("PANAL_ACCELERATION", "").lower() == "off":
        return "spec.acceleration is Off"
    if not version("flwr").startswith(KNOWN):
        return f"Flower {version('flwr')} is not known"
    if os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in ("", "void", "none") or any(map(glob.glob, GPUS)):
        return "there is a GPU"
    return ""


def patch(module: ModuleType) -> None:
    """`module` is flwr.supercore.superexec.executor.subprocess_executor: it starts programs by its `subprocess.Popen` alone."""
    reason = why_not()
    if reason:
        say(f"no acceleration: {reason}")
        return
    module.subprocess = SimpleNamespace(Popen=ForkServer().start, DEVNULL=subprocess.DEVNULL)  # type: ignore[attr-defined]


class ForkServer:
    """One process beside SuperExec, for as long as that lives."""

    def __init__(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            program = str(Path(__file__).resolve().parent.parent / "run.py")
            command = [sys.executable, program, "fork_server", str(its.fileno()), str(os.getpid())]
            subprocess.Popen(command, pass_fds=[its.fileno()], env=os.environ | {"PANAL_FORK_SERVER": "1"})
        self.socket = ours

    def start(self, arguments: list[str], **streams: Any) -> None:
        """In the place of `subprocess.Popen`: nobody asks for what it returns."""
        if arguments[0] in PROGRAMS:
            try:
                self.socket.send(json.dumps({"arguments": arguments, "silent": bool(streams)}).encode())
                return
            except OSError as error:
                say(f"no fork server ({error}): {arguments[0]} is started anew")
        subprocess.Popen(arguments, **streams)
