"""What a runtime reads from an app's pyproject.toml, for `panal run FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class AppError(ValueError):
    """A pyproject.toml declares no app of the framework. `remedy` says what the user can do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class App:
    """`config` is the declared run config, in the table `config_table`. The first of `rounds_keys` that it has is the number of rounds,
    the first of `min_clients_keys` how many clusters each round needs; `_` in a key counts as `-`. `server` and `client` are further fields
    of spec.server and spec.client."""

    config: Mapping[str, Any]
    config_table: str
    rounds_keys: tuple[str, ...] = ()
    min_clients_keys: tuple[str, ...] = ()
    server: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)


def table(project: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The table at `path`; empty if it does not exist. Raises AppError if it is not a table."""
    found: Any = project
    for number, key in enumerate(path, 1):
        found = found.get(key, {})
        if not isinstance(found, dict):
            raise AppError(f"{'.'.join(path[:number])} is not a table", f"Write it as [{'.'.join(path[:number])}].")
    return dict(found)
