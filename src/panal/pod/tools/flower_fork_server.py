"""Forks Flower's programs from a process that has imported Flower, and after the first of its apps the libraries that it used.

Never the user's own code: only what lies in the environment's site-packages is imported ahead, and that is learnt from the first app
process. It has no threads and no connections of its own when it forks. Every child draws its random numbers from a state of its own, as
processes that were started anew do.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import say
from .flower_fork_hook import PROGRAMS, ForkServer, replace

EXECUTOR = "flwr.supercore.superexec.executor.subprocess_executor"  # where a SuperExec starts programs
AHEAD = {
    "client": ("flwr.supercore.cli", "flwr.clientapp"),
    "server": ("flwr.supercore.cli", "flwr.serverapp.strategy"),
}
NEVER = frozenset({"tensorflow", "jax", "jaxlib", "ray", "torch_xla"})  # start threads when they are imported, or say not to be forked
MESSAGE = 1 << 16
PR_SET_PDEATHSIG = 1
App = Callable[[], None]


class Server:
    """`requests` is the end to read from; `asking` the other, for a SuperExec that is forked here; `parent` is the process it serves."""

    def __init__(self, requests: socket.socket, asking: socket.socket, parent: int) -> None:
        self.requests = requests
        self.asking = asking
        self.parent = parent
        self.learnt_from, self.tell = os.pipe()
        self.known: set[str] = set()
        self.unended = b""

    def serve(self) -> App | None:
        """In each child: what it has to run. In the server itself: None, when its parent has ended or it can go on no longer."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for exit codes
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._import(AHEAD[os.environ["PANAL_HOOK"]])
        while os.getppid() == self.parent:
            if threading.active_count() > 1:
                say("no acceleration: a library has started threads when it was imported")
                self._give_up()
                return None
            ready, _, _ = select.select([self.requests.fileno(), self.learnt_from], [], [], 5.0)
            if self.learnt_from in ready:
                self._learn(os.read(self.learnt_from, 1 << 20))
            elif self.requests.fileno() in ready:
                request = json.loads(self.requests.recv(MESSAGE))
                if os.fork() == 0:
                    return self._child(request)
        return None

    def _give_up(self) -> None:
        """Who asks from now on is refused; those who have asked already get what they asked for."""
        self.requests.shutdown(socket.SHUT_RD)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        while message := self.requests.recv(MESSAGE):
            request = json.loads(message)
            output = subprocess.DEVNULL if request["silent"] else None
            subprocess.Popen(request["arguments"], stdout=output, stderr=output, start_new_session=request["session"])

    def _learn(self, said: bytes) -> None:
        """Lines of any number of app processes; one that was cut off, or mixed with another's, is passed over."""
        *lines, self.unended = (self.unended + said).split(b"\n")
        for line in lines:
            try:
                names = json.loads(line)
            except ValueError:
                continue
            self._import(names)

    def _import(self, names: Any) -> None:
        for name in names:
            if name.partition(".")[0] not in NEVER:
                try:
                    importlib.import_module(name)
                except Exception as error:  # noqa: BLE001  what cannot be imported ahead is the app's own business
                    say(f"not imported ahead: {name}: {error!r}")
        self.known = set(sys.modules)

    def _child(self, request: dict[str, Any]) -> App:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.requests.close()
        os.close(self.learnt_from)
        if request["session"]:
            os.setsid()
        if request["silent"]:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
        reseed()
        sys.argv = request["arguments"]
        module, function = PROGRAMS[sys.argv[0]]
        if sys.argv[0] == "flower-superexec":
            replace(importlib.import_module(EXECUTOR), ForkServer(self.asking))
            return lambda: getattr(importlib.import_module(module), function)()

        def app() -> None:
            self.asking.close()
            try:
                getattr(importlib.import_module(module), function)()
            finally:
                self._teach()

        return app

    def _teach(self) -> None:
        """The libraries that this app process has imported itself."""
        found = json.dumps(libraries(set(sys.modules) - self.known)).encode() + b"\n"
        if found != b"[]\n" and len(found) < select.PIPE_BUF * 16:
            os.set_blocking(self.tell, False)
            try:
                os.write(self.tell, found)
            except BlockingIOError:
                return


def reseed() -> None:
    """Python's own generator is seeded anew by the fork; those of numpy and torch that are global would go on alike in all children."""
    for name, seed in (("numpy.random", lambda m: m.seed()), ("torch", lambda m: m.manual_seed(secrets.randbits(63)))):
        if name in sys.modules:
            seed(sys.modules[name])  # type: ignore[no-untyped-call]


def libraries(names: set[str]) -> list[str]:
    """Those of the modules that lie in site-packages: top levels first, so that each is imported by its package."""
    places = {str(Path(sysconfig.get_paths()[key]).resolve()) + os.sep for key in ("purelib", "platlib")}
    found = [n for n in names if _origin(n).startswith(tuple(places))]
    return sorted(found, key=lambda name: (name.count("."), name))


def _origin(name: str) -> str:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return str(getattr(spec, "origin", "") or "")
