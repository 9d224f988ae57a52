"""The hooks that `sitecustomize` installs in Flower's processes, and filters for their logs."""

from __future__ import annotations

import os
from typing import Any

# For each value of PANAL_HOOK: modules of Flower, each with the hook whose `patch(module)` is called after its import.
HOOKS = {
    "server": {
        "flwr.supercore.protobuf.client": "secret",
        "flwr.supercore.heartbeat": "randomness",
        "flwr.supercore.retry.retry_invoker": "randomness",
        "flwr.supercore.inflatable.inflatable_utils": "objects",
        "flwr.app.message.array": "arrays",
        "flwr.app.message.arrayrecord": "arrays",
        "flwr.superlink.cli.flower_superlink": "fork_hook",
        "flwr.server.run_serverapp": "watch",
        "flwr.superlink.runtime.run_serverapp": "serverapp_hook",
        "flwr.serverapp.strategy.strategy": "server_hook",
        "flwr.server.server": "legacy_hook",
        "flwr.server.history": "legacy_hook",
        "flwr.server.workflow.default_workflows": "legacy_hook",
        "flwr.supercore.superexec.plugin.base_exec_plugin": "output_hook",
        "flwr.supercore.superexec.executor.subprocess_executor": "deaths",
    },
    "client": {
        "flwr.supercore.protobuf.client": "secret",
        "flwr.supercore.heartbeat": "randomness",
        "flwr.supercore.retry.retry_invoker": "randomness",
        "flwr.supercore.inflatable.inflatable_utils": "objects",
        "flwr.app.message.array": "arrays",
        "flwr.app.message.arrayrecord": "arrays",
        "flwr.supernode.cli.flower_supernode": "fork_hook",
        "flwr.supernode.runtime.run_clientapp": "client_hook",
        "flwr.supernode.start_client_internal": "poll_hook",
        "flwr.supercore.superexec.executor.subprocess_executor": "deaths",
    },
}


UNGUARDED = 78  # the exit code of a process of a private run without one of its hooks; a restart does not help


def unguarded(why: str) -> None:
    """Ends a process of a run with `spec.privacy`, at once and from any thread: without its hooks nothing protects updates, or counts them.
    Other runs go on."""
    if not os.environ.get("PANAL_PRIVACY"):
        return
    from ..files import terminate
    from .codes import FlowerEnding

    try:
        terminate(FlowerEnding.FLOWER_NOT_SUPPORTED, f"spec.privacy: {why}")
    finally:
        os._exit(UNGUARDED)


class RateLimit:
    """A log filter that limits the lines caused by requests of collaborators: a site can send thousands of requests a second."""

    LINES, PERIOD = 300, 60.0

    def __init__(self) -> None:
        self.since, self.lines = 0.0, 0

    def __call__(self, record: Any) -> bool:
        if record.name != "uvicorn.access" and not str(record.msg).startswith(("[Fleet.", "[/v1/fleet")):
            return True
        if record.created - self.since >= self.PERIOD:
            self.since, self.lines = record.created, 0
        self.lines += 1
        return self.lines <= self.LINES


def begin() -> None:
    """Adds filters to the logs: without successful requests, because the SuperLink logs every poll of collaborators and launcher."""
    import logging

    logging.getLogger("uvicorn.access").addFilter(lambda record: not (isinstance(record.args, tuple) and record.args[-1:] == (200,)))
    logging.getLogger("flwr").addFilter(lambda record: not str(record.msg).startswith("ControlServicer.List"))
    limit = RateLimit()
    for name in ("uvicorn.access", "flwr"):
        logging.getLogger(name).addFilter(limit)
