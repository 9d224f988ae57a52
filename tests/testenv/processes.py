"""The programs that tests run, and the processes of one cluster: each with its log, its pid and the command that starts it again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

LAST = ("kube-apiserver", "etcd")  # stopped after everything that talks to them, in this order
PORTS = range(10000, 30000)  # below those of outgoing connections, and of Kubernetes' NodePorts
SPAWNED: list[subprocess.Popen[bytes]] = []  # kept: an object that goes while its process runs is a ResourceWarning


def assets() -> Path:
    """The folder of the unpacked programs."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or not (Path(folder) / "kube-apiserver").exists():
        sys.exit("KUBEBUILDER_ASSETS must name the folder with kube-apiserver, etcd and the other programs (docs/design/testing.md)")
    return Path(folder)


def free_port() -> int:
    """One of 127.0.0.1 that nobody listens at now, and that the kernel gives to no outgoing connection until it is used. Chosen at random,
    because other tests choose at the same time."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {PORTS.start} to {PORTS.stop} is free")


def listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait(what: str, ready: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            sys.exit(f"{what}: not ready after {seconds:.0f} s")
        time.sleep(0.2)


def spawn(command: list[str], log: Path, env: dict[str, str], cwd: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one; its words go to the end of `log`."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env={**os.environ, **env}, cwd=cwd
        )
    SPAWNED.append(process)
    return process


def reap() -> None:
    """Take note of the end of what this process has spawned."""
    for process in SPAWNED:
        process.poll()


class Processes:
    """Processes by name, `<program>` or `<program>.<part>`. They outlive the program that starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs, self.pids = folder / "log", folder / "pid"
        for made in (self.logs, self.pids):
            made.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        return sorted(p.name for p in self.pids.iterdir() if p.suffix != ".command")

    def running(self, name: str) -> bool:
        try:
            pid = int((self.pids / name).read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if not words:  # it has ended and nobody took note, or is just about to become the program
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
            return name.split(".")[0].encode() in words
        except (OSError, ValueError):
            return False

    def start(self, name: str, command: list[str], env: dict[str, str]) -> None:
        """Start it unless it runs, and remember how."""
        if self.running(name):
            return
        (self.pids / f"{name}.command").write_text(json.dumps({"command": command, "env": env}))
        process = spawn(command, self.logs / f"{name}.log", env, self.folder)
        (self.pids / name).write_text(str(process.pid))

    def start_again(self, name: str) -> None:
        """Start a process that was stopped or killed, by the command of last time."""
        remembered = self.pids / f"{name}.command"
        if not remembered.exists():
            sys.exit(f"{self.folder.name}: no process {name}; there are {', '.join(self.names())}")
        settings = json.loads(remembered.read_text())
        self.start(name, settings["command"], settings["env"])

    def end(self, name: str, *, kill: bool = False) -> None:
        """End one process and what it forked: politely with 5 s to go, or with SIGKILL."""
        if not self.running(name):
            return
        pid = int((self.pids / name).read_text())
        os.killpg(pid, signal.SIGKILL if kill else signal.SIGTERM)
        for _ in range(100):
            reap()
            if not self.running(name):
                return
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)
        reap()

    def end_all(self) -> None:
        for name in sorted(self.names(), key=lambda n: LAST.index(n) if n in LAST else -1):
            self.end(name)
            (self.pids / name).unlink()
