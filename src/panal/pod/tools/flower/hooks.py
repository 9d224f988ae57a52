"""What `sitecustomize` brings into Flower's processes: our hooks, by the modules that they wait for, and fewer lines in their logs."""

from __future__ import annotations

from typing import Any

# By PANAL_HOOK: modules of Flower to wait for, each with ours, whose `patch(module)` is called once it is there.
HOOKS = {
    "server": {
        "flwr.supercore.protobuf.client": "secret",
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
        "flwr.supernode.cli.flower_supernode": "fork_hook",
        "flwr.supernode.runtime.run_clientapp": "client_hook",
        "flwr.supernode.start_client_internal": "poll_hook",
        "flwr.supercore.superexec.executor.subprocess_executor": "deaths",
    },
}


class Sparing:
    """A log's filter: of the lines that requests of collaborators cause, so many a minute. A site can send thousands a second."""

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
    """The SuperLink logs every poll of every collaborator and of our launcher; what went well of these is left out."""
    import logging

    logging.getLogger("uvicorn.access").addFilter(lambda record: not (isinstance(record.args, tuple) and record.args[-1:] == (200,)))
    logging.getLogger("flwr").addFilter(lambda record: not str(record.msg).startswith("ControlServicer.List"))
    sparing = Sparing()
    for name in ("uvicorn.access", "flwr"):
        logging.getLogger(name).addFilter(sparing)
