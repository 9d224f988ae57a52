"""The fork server: forks Flower's programs from a process that has imported Flower and the app's libraries.

It learns the libraries from app processes, and imports only modules of site-packages, never the user's code. It has no threads and no
connections when it forks. Each child gets its own random seeds, like a newly started process.
"""

from __future__ import annotations

import ctypes
import gc
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
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..files import log_line
from . import deaths
from .fork_client import PROGRAMS, ForkClient

EXECUTOR = "flwr.supercore.superexec.executor.subprocess_executor"  # where a SuperExec starts programs
AHEAD = {
    "client": ("flwr.supercore.cli", "flwr.clientapp"),
    "server": ("flwr.supercore.cli", "flwr.serverapp.strategy"),
}
NEVER = frozenset({"tensorflow", "jax", "jaxlib", "ray", "torch_xla"})  # start threads on import, or do not support fork
MESSAGE = 1 << 16
LESSON = 1 << 17  # bytes of a compressed list of about ten thousand modules
PR_SET_PDEATHSIG = 1
App = Callable[[], None]


@dataclass(frozen=True)
class Child:
    """A forked program. `kills` is `deaths.oom_kills()` before its start."""

    arguments: list[str]
    kills: int


class Server:
    """`requests` and `asking` are the two ends of the socket for requests; a forked SuperExec gets `asking`. `parent` is the process id of
    the SuperNode or SuperLink."""

    def __init__(self, requests: socket.socket, asking: socket.socket, parent: int) -> None:
        self.requests = requests
        self.asking = asking
        self.parent = parent
        self.lessons, self.teacher = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ended, self.end = socket.socketpair()
        self.known: set[str] = set()
        self.children: dict[int, Child] = {}

    def serve(self) -> App | None:
        """Returns in each child the function to run; in the server None, when its parent has ended or it cannot continue."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._watch_children()
        self._import(AHEAD[os.environ["PANAL_HOOK"]])
        while os.getppid() == self.parent:
            if threading.active_count() > 1:
                log_line("no acceleration: a library has started threads when it was imported")
                self._give_up()
                return None
            ready, _, _ = select.select([self.ended, self.lessons, self.requests], [], [], 5.0)
            if self.ended in ready:
                self.ended.recv(MESSAGE)
                for arguments, details in self._deaths():
                    if os.fork() == 0:
                        self._release()
                        return partial(deaths.report, arguments, details)
            elif self.lessons in ready:
                self._learn(self.lessons.recv(LESSON))
            elif self.requests in ready:
                request = json.loads(self.requests.recv(MESSAGE))
                before = deaths.oom_kills()
                if (child := os.fork()) == 0:
                    return self._child(request)
                self.children[child] = Child(request["arguments"], before)
        return None

    def _watch_children(self) -> None:
        """Makes `ended` readable when a child ends."""
        self.end.setblocking(False)
        signal.set_wakeup_fd(self.end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _deaths(self, wait: int = os.WNOHANG) -> Iterator[tuple[list[str], str]]:
        """Collects the children that have ended. Yields the arguments of each app process that died, with a description."""
        while (found := ended_child(wait)) is not None:
            pid, code = found
            child = self.children.pop(pid, None)
            if child is None:
                continue
            if child.arguments[0] == deaths.SUPEREXEC:
                deaths.end_without_superexec(self.parent, code)
            elif details := deaths.death_message(child.arguments, code, deaths.oom_kills() > child.kills):
                yield child.arguments, details

    def _give_up(self) -> None:
        """Refuses further requests, starts the requested programs normally, and returns when all children have ended."""
        self.requests.shutdown(socket.SHUT_RD)
        programs = []
        while message := self.requests.recv(MESSAGE):
            request = json.loads(message)
            output = subprocess.DEVNULL if request["silent"] else None
            before = deaths.oom_kills()
            programs.append(subprocess.Popen(request["arguments"], stdout=output, stderr=output, start_new_session=request["session"]))
            self.children[programs[-1].pid] = Child(request["arguments"], before)
        for arguments, details in self._deaths(0):
            deaths.report(arguments, details)

    def _learn(self, lesson: bytes) -> None:
        """Imports the modules of a list from an app process. User code can write to the socket, so the list is not trusted."""
        try:
            names = json.loads(zlib.decompress(lesson))
        except (ValueError, zlib.error):
            return
        self._import(names)

    def _import(self, names: Any) -> None:
        for name in names:
            if name.partition(".")[0] not in NEVER:
                try:
                    importlib.import_module(name)
                except Exception as error:  # noqa: BLE001  the app imports the module itself
                    log_line(f"not imported ahead: {name}: {error!r}")
        self.known = set(sys.modules)
        gc.collect()
        gc.freeze()  # a collection in a child would write to every object, and so copy all pages

    def _release(self) -> None:
        """In a child: closes the server's sockets and resets its signal handlers."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self.requests, self.lessons, self.ended, self.end):
            each.close()

    def _child(self, request: dict[str, Any]) -> App:
        self._release()
        if request["session"]:
            os.setsid()
        if request["silent"]:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
        reseed()
        sys.argv = request["arguments"]
        module, function = PROGRAMS[sys.argv[0]]
        if sys.argv[0] == deaths.SUPEREXEC:
            deaths.replace(importlib.import_module(EXECUTOR), ForkClient(self.asking).start)
            return lambda: getattr(importlib.import_module(module), function)()

        def app() -> None:
            self.asking.close()
            try:
                getattr(importlib.import_module(module), function)()
            finally:
                self._send_libraries()

        return app

    def _send_libraries(self) -> None:
        """In an app process: sends the server the libraries that it has imported itself."""
        if names := libraries(set(sys.modules) - self.known):
            lesson = zlib.compress(json.dumps(names).encode())
            try:
                self.teacher.send(lesson, socket.MSG_DONTWAIT)
            except OSError as error:
                log_line(f"cannot report what was imported: {error!r}")


def ended_child(wait: int) -> tuple[int, int] | None:
    """A child that has ended, and its exit code (negative for a signal); None if there is none."""
    try:
        pid, status = os.waitpid(-1, wait)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def reseed() -> None:
    """Seeds the global generators of numpy and torch, which would be the same in all children. Python seeds its own after a fork."""
    for name, seed in (("numpy.random", lambda m: m.seed()), ("torch", lambda m: m.manual_seed(secrets.randbits(63)))):
        if name in sys.modules:
            seed(sys.modules[name])  # type: ignore[no-untyped-call]


def libraries(names: set[str]) -> list[str]:
    """The modules that lie in site-packages, packages before their modules."""
    places = [sysconfig.get_paths()[key] for key in ("purelib", "platlib")]
    found = tuple({form + os.sep for place in places for form in (place, str(Path(place).resolve()))})
    return sorted((n for n in names if _origin(n).startswith(found)), key=lambda name: (name.count("."), name))


def _origin(name: str) -> str:
    """The file of a module; empty if it is registered under another name than its own."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return str(getattr(spec, "origin", "") or "") if getattr(spec, "name", "") == name else ""
