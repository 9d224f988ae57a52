"""The range of loopback addresses of a platform: 127.R, a different one for each platform on the machine.

The supervisor reserves the range by listening on the abstract socket `panal-127.R`. The names of such sockets have the scope of the
loopback device (a network namespace), and are released with the process.
"""

from __future__ import annotations

import random
import socket

from panal_local.supervisor.folder import PlatformError

RANGES = range(20, 250)
PORTS = range(16443, 16543)  # below the ephemeral ports of Linux


def reserve(network: int) -> socket.socket | None:
    """Reserves the range; returns None if it is taken."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0panal-127.{network}")
        held.listen(1)
    except OSError:
        held.close()
        return None
    return held


def choose() -> tuple[int, socket.socket]:
    """Reserves a free range, in random order, so that concurrent calls rarely collide. Raises PlatformError."""
    for network in random.sample(list(RANGES), len(RANGES)):
        if held := reserve(network):
            return network, held
    raise PlatformError("every range of loopback addresses is taken", "End another platform on this machine with `panal down`.")


def free_port(address: str) -> int:
    """A port that is free at this address. Raises PlatformError."""
    for port in PORTS:
        if is_free(address, port):
            return port
    raise PlatformError(f"the ports {PORTS.start} to {PORTS.stop - 1} are all taken", "End the programs that listen there.")


def is_free(address: str, port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: recently closed connections do not count
        try:
            tried.bind((address, port))
        except OSError:
            return False
    return True
