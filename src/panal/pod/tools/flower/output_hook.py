"""Inside the process that starts the ServerApp: Flower throws away what the app prints; here it goes to the container's log."""

from __future__ import annotations

from types import ModuleType


def patch(module: ModuleType) -> None:
    """`module` is flwr.supercore.superexec.plugin.base_exec_plugin."""
    plugin = module.AutoExecPlugin
    if plugin.suppress_output is True:
        plugin.suppress_output = False
