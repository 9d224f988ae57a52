"""Reads the declaration of an app without a framework in its pyproject.toml:

[tool.panal.app]
server = ["python3", "server.py"]   # spec.server.command
client = ["python3", "client.py"]   # spec.client.command
protocol = "HTTP"                   # spec.server.protocol; may be omitted

[tool.panal.app.config]             # the run config, with the number of rounds; may be omitted
rounds = 10
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.api.spec import Protocol
from panal.runtimes.app import App, AppError, table

KEYS = ("server", "client", "protocol", "config")


def read(project: Mapping[str, Any]) -> App | None:
    """None if the file declares none. Raises AppError."""
    declared = table(project, "tool", "panal", "app")
    if not declared:
        return None
    if unknown := sorted(declared.keys() - set(KEYS)):
        raise AppError(f"[tool.panal.app] has the unknown key {', '.join(unknown)}", f"The keys are {', '.join(KEYS)}.")
    for side in ("server", "client"):
        words = declared.get(side)
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise AppError(f"[tool.panal.app] {side} is not a command", f'An example is {side} = ["python3", "{side}.py"].')
    protocol = declared.get("protocol", Protocol.HTTP.value)
    if protocol not in list(Protocol):
        raise AppError(f"[tool.panal.app] protocol is {protocol!r}", f"It is {' or '.join(Protocol)}.")
    server, client = {"command": declared["server"], "protocol": protocol}, {"command": declared["client"]}
    config = table(project, "tool", "panal", "app", "config")
    return App(config, "tool.panal.app.config", ("rounds",), server=server, client=client)
