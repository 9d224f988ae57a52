"""The range of loopback addresses that is ours alone: 127.R, one for each platform on the machine.

Who listens on the abstract socket `panal-127.R` owns it: the supervisor. Such names are as wide as the loopback device itself (one network
namespace), and go with the process that holds them.
"""

from __future__ import annotations

import random
import socket

from panal_local.supervisor.folder import PlatformError

RANGES = range(20, 250)
PORTS = range(16443, 16543)  # below those that Linux gives to connections of programs


def reserve(network: int) -> socket.socket | None:
    """None if somebody has it."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0panal-127.{network}")
        held.listen(1)
    except OSError:
        held.close()
        return None
    return held


def choose() -> tuple[int, socket.socket]:
    """A range that nobody has, in no order: two that choose at the same time do not try the same ones."""
    for network in random.sample(list(RANGES), len(RANGES)):
        if held := reserve(network):
            return network, held
    raise PlatformError("every range of loopback addresses is taken", "End another platform on this machine with `panal down`.")


def free_port(address: str) -> int:
    """One that nobody uses at this address or at all addresses."""
    for port in PORTS:
        if is_free(address, port):
            return port
    raise PlatformError(f"the ports {PORTS.start} to {PORTS.stop - 1} are all taken", "End the programs that listen there.")


def is_free(address: str, port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: connections that have just ended do not count
        try:
            tried.bind((address, port))
        except OSError:
            return False
    return True
