"""Runs at the start of every Python process of a runtime's container, and brings our hooks into those that they are meant for.

Only waits for certain modules of Flower to be imported; if that never happens, or the module is of a version that we do not know, nothing
changes. A sitecustomize of the image's own, which this one hides, is run as if it were not.
"""

# ruff: noqa: PTH100, PTH120 - pathlib would be imported into every process

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))

# PANAL_HOOK -> modules of Flower to wait for, each with ours, whose `patch(module)` is called once it is there.
HOOKS = {
    "server": {
        "flwr.supercore.protobuf.client": "panal_tools.flower_secret",
        "flwr.superlink.cli.flower_superlink": "panal_tools.flower_fork_hook",
        "flwr.server.run_serverapp": "panal_tools.flower_watch",
        "flwr.superlink.runtime.run_serverapp": "panal_tools.flower_serverapp_hook",
        "flwr.serverapp.strategy.strategy": "panal_tools.flower_server_hook",
        "flwr.server.server": "panal_tools.flower_legacy_hook",
        "flwr.server.history": "panal_tools.flower_legacy_hook",
        "flwr.server.workflow.default_workflows": "panal_tools.flower_legacy_hook",
        "flwr.supercore.superexec.plugin.base_exec_plugin": "panal_tools.flower_output_hook",
        "flwr.supercore.superexec.executor.subprocess_executor": "panal_tools.flower_deaths",
    },
    "client": {
        "flwr.supercore.protobuf.client": "panal_tools.flower_secret",
        "flwr.supernode.cli.flower_supernode": "panal_tools.flower_fork_hook",
        "flwr.supernode.runtime.run_clientapp": "panal_tools.flower_client_hook",
        "flwr.supernode.start_client_internal": "panal_tools.flower_poll_hook",
        "flwr.supercore.superexec.executor.subprocess_executor": "panal_tools.flower_deaths",
    },
}


class Waiter(importlib.abc.MetaPathFinder):
    """Lets the usual finders find the module, and patches it after it was executed."""

    def __init__(self, wanted: str, hook: str) -> None:
        self.wanted = wanted
        self.hook = hook

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.wanted:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def patch(self, module: ModuleType) -> None:
        try:
            importlib.import_module(self.hook).patch(module)
        except Exception as error:  # noqa: BLE001  whatever is wrong with our hook must not stop the user's app
            print(f"panal: {self.wanted} is left as it is: {error!r}", file=sys.stderr, flush=True)


def run_hidden() -> None:
    """The next sitecustomize on the path after this folder's."""
    others = [p for p in sys.path if os.path.abspath(p) != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


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


def quieten() -> None:
    """The SuperLink logs every poll of every collaborator and of our launcher; what went well of these is left out."""
    import logging

    logging.getLogger("uvicorn.access").addFilter(lambda record: not (isinstance(record.args, tuple) and record.args[-1:] == (200,)))
    logging.getLogger("flwr").addFilter(lambda record: not str(record.msg).startswith("ControlServicer.List"))
    sparing = Sparing()
    for name in ("uvicorn.access", "flwr"):
        logging.getLogger(name).addFilter(sparing)


if os.environ.get("PANAL_HOOK") in HOOKS:
    sys.meta_path[:0] = [Waiter(*pair) for pair in HOOKS[os.environ["PANAL_HOOK"]].items()]
    quieten()
run_hidden()
