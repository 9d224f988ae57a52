"""Reads the folder of an app: the name, rounds and data of its runs, from its pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api.names import MAX_RUN_NAME
from panal.client import run_config
from panal.client.problem import Code, Problem
from panal.runtimes import installed, runtime_for
from panal.runtimes.app import App as Declared
from panal.runtimes.app import AppError, table

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class App:
    """`name` is valid in names of runs and images. `min_clients` is None if the app does not say how many clusters each round needs.
    `server` and `client` are further fields of spec.server and spec.client."""

    folder: Path
    framework: str
    name: str
    rounds: int
    data: Path | None
    min_clients: int | None = None
    run_config: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)

    def needed(self, clusters: int) -> int:
        """How many of so many clusters each round needs."""
        return min(self.min_clients or clusters, clusters)


def read(
    folder: Path,
    rounds: int | None = None,
    data: Path | None = None,
    values: Sequence[str] | Mapping[str, Any] = (),
    initial_model: str | None = None,
    min_clients: int | None = None,
) -> App:
    """`values` are for the run config: words of a command line, or values by key. `initial_model`: the run with whose model it begins.
    Raises Problem if the folder is not a valid app of an installed framework."""
    file = folder / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise Problem(Code.USAGE, f"{file} cannot be read: {error.strerror}", "`panal new myapp` creates an app.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(Code.USAGE, f"{file}: {error}", "Correct the file.") from error
    framework, declared = _declared(file, content)
    own = _table(file, content, "tool", "panal", "run")
    if unknown := sorted(own.keys() - {"data"}):
        raise Problem(Code.USAGE, f"{file}: [tool.panal.run] has the unknown key {', '.join(unknown)}; the only key is data", "Remove it.")
    if not isinstance(own.get("data", ""), str):
        raise Problem(Code.USAGE, f"{file}: [tool.panal.run] data is not a string", "Give the path of a folder, in quotes.")
    place = data or (folder / own["data"] if "data" in own else None)
    name = fit(str(_table(file, content, "project").get("name") or folder.resolve().name))
    known, table_name = declared.config, declared.config_table
    chosen = run_config.checked(values, known, table_name) if isinstance(values, Mapping) else run_config.read(values, known, table_name)
    keys = declared.rounds_keys
    if rounds and (other := _number(chosen, keys) or rounds) != rounds:
        message = f"{rounds} rounds are asked for, but the run config has {other} rounds"
        raise Problem(Code.USAGE, message, "Omit one of them.")
    config = {**declared.config, **chosen}
    wanted = rounds or _number(config, keys) or ROUNDS
    needed = min_clients or _number(config, declared.min_clients_keys)
    server = {**declared.server, "initialModel": {"run": initial_model}} if initial_model else declared.server
    return App(folder, framework, name, wanted, place, needed, chosen, server, declared.client)


def _declared(file: Path, content: Mapping[str, Any]) -> tuple[str, Declared]:
    """The framework whose app it is, and what it declares."""
    errors: list[AppError] = []
    for framework in installed():
        runtime = runtime_for(framework)
        try:
            if runtime and (declared := runtime.app(content)):
                return framework, declared
        except AppError as error:
            errors.append(error)
    problems = "; ".join(error.message for error in errors) or "no framework is installed"
    raise Problem(Code.USAGE, f"{file}: {problems}", " ".join(dict.fromkeys(error.remedy for error in errors)))


def _table(file: Path, content: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    try:
        return table(content, *path)
    except AppError as error:
        raise Problem(Code.USAGE, f"{file}: {error.message}", error.remedy) from error


def fit(name: str) -> str:
    """`name` with only lowercase letters, digits and single dashes, starting with a letter, and short enough to append a number."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (plain if plain[:1].isalpha() else f"app-{plain}")[: MAX_RUN_NAME - 6].strip("-")


def _number(config: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """The first of the keys that is a number above 0."""
    found = (config.get(key, config.get(key.replace("-", "_"))) for key in keys)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool) and value > 0), None)
