"""What a runtime reads of an app's pyproject.toml, for `panal run` of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class AppError(ValueError):
    """Why a pyproject.toml declares no app of the framework, and what a person can do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class App:
    """`config` is the declared run config, from the table named `config_table`. The first of `rounds_keys` that it has is the number of
    rounds; `_` in its keys counts as `-`."""

    config: Mapping[str, Any]
    config_table: str
    rounds_keys: tuple[str, ...] = ()


def table(project: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The table at `path`; empty if it does not exist."""
    found: Any = project
    for number, key in enumerate(path, 1):
        found = found.get(key, {})
        if not isinstance(found, dict):
            raise AppError(f"{'.'.join(path[:number])} is not a table", f"Write it as [{'.'.join(path[:number])}].")
    return dict(found)
