"""Reads the declaration of a Flower app in its pyproject.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.pod.tools.flower.codes import ROUNDS_KEYS
from panal.runtimes.app import App, AppError, table


def read(project: Mapping[str, Any]) -> App:
    components, config = (table(project, "tool", "flwr", "app", name) for name in ("components", "config"))
    if not {"serverapp", "clientapp"} <= components.keys():
        message = "[tool.flwr.app.components] has no serverapp and clientapp, so it is not a Flower app"
        raise AppError(message, "`panal new myapp` creates an app.")
    return App(config, "tool.flwr.app.config", ROUNDS_KEYS, ("min-available-nodes", "min-available-clients"))
