"""Reads the folder of an app: the name, rounds and data of its runs, from its pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api.names import MAX_RUN_NAME
from panal.cli import run_config
from panal.cli.problem import Code, Problem

ROUNDS = 3
ROUND_KEYS = ("num-server-rounds", "num-rounds", "server-rounds", "rounds")


@dataclass(frozen=True, slots=True)
class App:
    """`name` is valid in names of runs and images."""

    folder: Path
    name: str
    rounds: int
    data: Path | None
    run_config: Mapping[str, Any] = field(default_factory=dict)


def read(folder: Path, rounds: int | None = None, data: Path | None = None, values: Sequence[str] = ()) -> App:
    """Raises Problem if the folder is not a valid Flower app."""
    file = folder / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise Problem(Code.USAGE, f"{file} cannot be read: {error.strerror}", "`panal new myapp` creates an app.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(Code.USAGE, f"{file}: {error}", "Correct the file.") from error
    components, config = (_table(file, content, "tool", "flwr", "app", name) for name in ("components", "config"))
    if not {"serverapp", "clientapp"} <= components.keys():
        message = f"{file}: [tool.flwr.app.components] has no serverapp and clientapp, so it is not a Flower app"
        raise Problem(Code.USAGE, message, "`panal new myapp` creates an app.")
    own = _table(file, content, "tool", "panal", "run")
    if unknown := sorted(own.keys() - {"data"}):
        raise Problem(Code.USAGE, f"{file}: [tool.panal.run] has the unknown key {', '.join(unknown)}; the only key is data", "Remove it.")
    if not isinstance(own.get("data", ""), str):
        raise Problem(Code.USAGE, f"{file}: [tool.panal.run] data is not a string", "Give the path of a folder, in quotes.")
    place = data or (folder / own["data"] if "data" in own else None)
    name = fit(str(_table(file, content, "project").get("name") or folder.resolve().name))
    chosen = run_config.read(values, config)
    if rounds and _rounds(chosen, rounds) != rounds:
        raise Problem(Code.USAGE, f"--rounds is {rounds}, but --run-config has {_rounds(chosen)} rounds", "Omit one of them.")
    return App(folder, name, rounds or _rounds({**config, **chosen}), place, chosen)


def _table(file: Path, content: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The table at `path`; empty if it does not exist."""
    found: Any = content
    for number, key in enumerate(path, 1):
        found = found.get(key, {})
        if not isinstance(found, dict):
            raise Problem(Code.USAGE, f"{file}: {'.'.join(path[:number])} is not a table", f"Write it as [{'.'.join(path[:number])}].")
    return dict(found)


def fit(name: str) -> str:
    """`name` with only lowercase letters, digits and single dashes, starting with a letter, and short enough to append a number."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (plain if plain[:1].isalpha() else f"app-{plain}")[: MAX_RUN_NAME - 6].strip("-")


def _rounds(config: Mapping[str, Any], default: int = ROUNDS) -> int:
    found = (config.get(key, config.get(key.replace("-", "_"))) for key in ROUND_KEYS)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool) and value > 0), default)
