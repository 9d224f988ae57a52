"""The first half of `panal up`: extends the stored state and starts the supervisor, or makes it read the state again."""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from panal_local.supervisor import address
from panal_local.supervisor.folder import SUPERVISOR, Folder, PlatformError
from panal_local.supervisor.process import find, signal_process
from panal_local.supervisor.state import Program, State, extended, load, own_version, save
from panal_local.supervisor.stopping import living

OLDEST = (3, 11)
ENDING = 2.0  # seconds for the parts of a killed supervisor to end


def begin(folder: Folder, clusters: int, claims: Mapping[str, Mapping[str, str]], programs: Sequence[Program]) -> State:
    """Returns the new state. The supervisor starts the missing parts. Raises PlatformError."""
    check_machine(platform.system(), sys.version_info[:2])
    folder.make()
    with folder.one_at_a_time():
        before = load(folder)
        state, held = (before, address.reserve(before.network)) if before else _choose()
        with held or nullcontext():
            state = extended(state, clusters, claims, programs)
            _check_addresses(folder, state, mine=held is not None)
            save(folder, state)
            if not signal_process(folder, SUPERVISOR, signal.SIGHUP):
                _spawn(folder, held)
    return state


def check_machine(system: str, python: tuple[int, ...]) -> None:
    if system != "Linux":
        raise PlatformError(
            f"the local platform runs on Linux, and this is {system}", "Use a Linux machine, or a hub: panal run --kubeconfig FILE."
        )
    if python < OLDEST:
        raise PlatformError(
            f"Python {'.'.join(map(str, OLDEST))} or later is needed, and this is {'.'.join(map(str, python))}", "Install one."
        )


def _choose() -> tuple[State, socket.socket | None]:
    network, held = address.choose()
    return State(own_version(), network, address.free_port(f"127.{network}.0.1"), {}), held


def _check_addresses(folder: Folder, state: State, mine: bool) -> None:
    """Raises PlatformError if another program uses the addresses of the API servers."""
    if not mine and not living(folder):
        raise PlatformError(
            f"the loopback addresses 127.{state.network}.* of {folder.root} are in use by another platform on this machine",
            "End that one with `panal down`, or choose another folder with --folder.",
        )
    for cluster in state.tokens:
        where = state.api_address(cluster)
        if not find(folder, cluster) and not _free_soon(where, state.port):
            raise PlatformError(
                f"port {state.port} at {where}, where the API server of {cluster} is to be, is taken by another program",
                f"End that program (`ss -ltnp sport = :{state.port}` names it), or choose another folder with --folder.",
            )


def _free_soon(where: str, port: int) -> bool:
    """Waits for the port, since the parts of a killed supervisor end a moment after it."""
    until = time.monotonic() + ENDING
    while not address.is_free(where, port):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _spawn(folder: Folder, held: socket.socket | None) -> None:
    """Starts the supervisor in a new session, so that it survives this process and its terminal."""
    words = [sys.executable, "-P", "-m", "panal_local.supervisor", "--folder", str(folder.root)]
    if held:
        held.set_inheritable(True)
        words += ["--reserved", str(held.fileno())]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PANAL_", "KUBE"))}
    null = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    log = [(os.POSIX_SPAWN_OPEN, n, str(folder.log(SUPERVISOR)), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for n in (1, 2)]
    os.posix_spawn(sys.executable, words, env, file_actions=[*null, *log], setsid=True)
