"""The hooks that `sitecustomize` installs in FLARE's processes, also in those of a job. They are the run's security: without one of them,
the process ends."""

from __future__ import annotations

import os
from typing import NoReturn

# For each value of PANAL_HOOK: modules of FLARE, each with the hook whose `patch(module)` is called after its import.
HOOKS = {
    "server": {
        "nvflare.fuel.f3.drivers.grpc_driver": "channel",
        "nvflare.private.fed.server.server_runner": "peers",
        "nvflare.widgets.fed_event": "events",
    },
    "client": {"nvflare.fuel.f3.drivers.grpc_driver": "channel", "nvflare.private.fed.client.training_cmds": "deployed"},
}
UNGUARDED = 78  # the exit code of a process without one of its hooks; a restart does not help


def begin() -> None:
    """Silences gRPC's own log: the gateway closes connections, and FLARE reports it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def unguarded(why: str) -> NoReturn:
    """Ends the process, at once and from any thread, after it has reported the reason."""
    try:
        _report(f"FLARE cannot be guarded ({why}). Install nvflare 2.9.* in the image, as it is published")
    finally:
        os._exit(UNGUARDED)


def _report(why: str) -> None:
    from ..files import append, terminate
    from ..records import Stopped
    from .codes import FlareEnding

    terminate(FlareEnding.FLARE_NOT_SUPPORTED, why)
    if os.environ.get("PANAL_HOOK") == "server":
        append(Stopped(reason=FlareEnding.FLARE_NOT_SUPPORTED, message=why))  # the main program ends the run with it
