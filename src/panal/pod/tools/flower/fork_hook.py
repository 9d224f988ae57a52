"""Inside a SuperNode or SuperLink as it starts: what it would start as programs is forked from one process that has imported already.

Flower runs a SuperExec beside each of them, which starts a process for every message; nearly all that these cost is importing Flower and
the app's libraries, over and over. Here a SuperNode or SuperLink forks once before it has threads or connections: the child becomes the
fork server (`fork_server`), and programs are asked of it over a socket. Where it has ended they are started as ever.
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

from ..files import say
from . import deaths
from .fork_client import ForkClient
from .fork_server import Server

GPUS = ("/dev/nvidia[0-9]*", "/dev/kfd")  # a device that was opened before the fork cannot be used after it
# Where each of the two starts its SuperExec, by `subprocess.Popen` alone.
STARTS = {"flower_supernode": "flwr.supernode.start_client_internal", "flower_superlink": "flwr.superlink.cli.flower_superlink"}


def why_not() -> str:
    """Why processes are not forked here; empty if they are."""
    if os.environ.get("PANAL_ACCELERATION", "").lower() == "off":
        return "spec.acceleration is Off"
    if os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in ("", "void", "none") or any(map(glob.glob, GPUS)):
        return "there is a GPU"
    return ""


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.cli.flower_supernode or flwr.superlink.cli.flower_superlink: the program is its function of that name."""
    name = module.__name__.rpartition(".")[2]
    program = getattr(module, name)
    starts = importlib.import_module(STARTS[name])

    def forking() -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when it has ended: asked to end is no failure
        reason = why_not()
        if reason:
            say(f"no acceleration: {reason}")
            deaths.replace(starts, deaths.started)
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
    """In this process: whom to ask. In the fork server, when it has ended, and in all that it forked: what is left to do."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    if os.fork():
        its.close()
        return ForkClient(ours), lambda: None
    return None, Server(its, ours, parent).serve() or (lambda: None)
