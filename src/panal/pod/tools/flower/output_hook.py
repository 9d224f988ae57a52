"""Hook in the process that starts the ServerApp: writes the app's output to the container's log, where Flower would discard it."""

from __future__ import annotations

from types import ModuleType


def patch(module: ModuleType) -> None:
    """`module` is flwr.supercore.superexec.plugin.base_exec_plugin."""
    plugin = module.AutoExecPlugin
    if plugin.suppress_output is True:
        plugin.suppress_output = False
