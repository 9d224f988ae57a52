"""The client of the fork server, which replaces `subprocess.Popen`."""

from __future__ import annotations

import json
import socket
from typing import Any

from ..files import log_line
from . import deaths

# Module and function of each program that is forked. Other programs are started normally.
PROGRAMS = {
    "flower-superexec": ("flwr.supercore.cli", "flower_superexec"),
    "flwr-clientapp": ("flwr.supernode.cli", "flwr_clientapp"),
    "flwr-serverapp": ("flwr.superlink.cli", "flwr_serverapp"),
}


class Forked:
    """Replaces a Popen. Nothing to do: these programs end with the process that started them."""

    def terminate(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int:
        return 0


class ForkClient:
    """Requests programs over the socket `ours`."""

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours

    def start(self, arguments: list[str], **options: Any) -> Any:
        """Replaces `subprocess.Popen`."""
        if arguments[0] not in PROGRAMS:
            return deaths.popen(arguments, **options)
        request = {"arguments": arguments, "silent": "stdout" in options, "session": bool(options.get("start_new_session"))}
        try:
            self.socket.send(json.dumps(request).encode())
        except OSError as error:
            log_line(f"no fork server ({error}): {arguments[0]} is started again")
            return deaths.popen(arguments, **options)
        return Forked()
