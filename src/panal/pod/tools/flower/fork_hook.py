"""Hook in SuperNode and SuperLink: starts Flower's programs by forking a process that has already imported their libraries.

Flower's SuperExec starts a process for every message, which spends most of its time on importing Flower and the app's libraries. With this
hook, a SuperNode or SuperLink forks once at its start, before it has threads or connections. The child becomes the fork server
(`fork_server`), which starts programs on request over a socket. If it has ended, programs are started normally.
"""

from __future__ import annotations

import glob
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import ModuleType

from ..files import log_line
from . import deaths
from .environment import accelerated
from .fork_client import ForkClient
from .fork_server import Server

GPUS = ("/dev/nvidia[0-9]*", "/dev/kfd")  # a device that was opened before the fork cannot be used after it
# The modules in which each of the two starts its SuperExec with `subprocess.Popen`.
STARTS = {"flower_supernode": "flwr.supernode.start_client_internal", "flower_superlink": "flwr.superlink.cli.flower_superlink"}


def why_not() -> str:
    """Why processes are not forked; empty if they are."""
    if not accelerated():
        return "spec.acceleration is Off"
    if os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in ("", "void", "none") or any(map(glob.glob, GPUS)):
        return "there is a GPU"
    return ""


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.cli.flower_supernode or flwr.superlink.cli.flower_superlink; its function of that name is the program."""
    name = module.__name__.rpartition(".")[2]
    program = getattr(module, name)
    starts = importlib.import_module(STARTS[name])

    def forking() -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises SIGTERM again after its shutdown
        reason = why_not()
        if reason:
            log_line(f"no acceleration: {reason}")
            deaths.replace(starts, deaths.popen)
            program()
            return
        asked, app = begin()
        if asked is None:
            app()
            return
        deaths.replace(starts, asked.start)
        program()

    setattr(module, name, forking)


def begin() -> tuple[ForkClient | None, Callable[[], None]]:
    """Forks the fork server. Returns its client in this process, and in each of its children the function to run."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    if os.fork():
        its.close()
        return ForkClient(ours), lambda: None
    return None, Server(its, ours, parent).serve() or (lambda: None)
