"""Validates spec.server.runConfig (PANAL_RUN_CONFIG, JSON) against the run config that the app declares, before the run waits for clusters.

Flower would refuse an unknown key only when the app is submitted, after the collaborators have started, and does not check types.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ..codes import Ending
from ..files import Json, RunError, shown

NAMED = 40  # declared keys in a message
KINDS = {bool: "a boolean", int: "a whole number", float: "a number", str: "a text"}


def declared(project: Json) -> Json:
    """The app's run config from its pyproject.toml. Nested keys are joined with dots, as in Flower."""
    return dict(_flat(project["tool"]["flwr"]["app"].get("config") or {}, ""))


def _flat(table: Json, prefix: str) -> Any:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def given(known: Json) -> Json:
    """The run's values in the types that the app declares. Raises RunError that names the key."""
    wanted: Json = json.loads(os.environ.get("PANAL_RUN_CONFIG") or "{}")
    if unknown := sorted(wanted.keys() - known.keys()):
        raise _invalid(f"the app declares no key {', '.join(map(repr, unknown))}", known)
    return {key: _typed(key, value, known) for key, value in wanted.items()}


def _typed(key: str, value: Any, known: Json) -> Any:
    """Converts between int and float: JSON and API servers do not distinguish 1 from 1.0."""
    kind = type(known[key])
    if kind is float and type(value) is int:
        return float(value)
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not kind:
        raise _invalid(f"{key!r} is {KINDS[type(value)]}, and the app declares {KINDS.get(kind, 'something else')}", known)
    return value


def _invalid(what: str, known: Json) -> RunError:
    names = ", ".join(sorted(known)[:NAMED]) + (", …" if len(known) > NAMED else "")
    return RunError(Ending.INVALID_SPEC, shown(f"spec.server.runConfig: {what}. Declared in [tool.flwr.app.config] are: {names or 'none'}"))
