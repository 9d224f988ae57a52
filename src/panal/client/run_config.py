"""`panal run APP --run-config`: parses values for the app's run config as `flwr run` does, and checks that the app declares the keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from panal.client.problem import Code, Problem

PAIR = re.compile(r"""(\S+?)=('[^']*'|"[^"]*"|\S+)""")  # values are TOML's
EXAMPLE = "An example is --run-config 'lr=0.1 optimizer.name=\"sgd\" augment=true', or --run-config values.toml."


def read(words: Sequence[str], declared: Mapping[str, Any], table: str) -> dict[str, Any]:
    """The values by key; keys of tables contain dots, as in Flower. `declared` is the app's `table` in pyproject.toml. Raises Problem."""
    return checked({key: value for word in words for key, value in _of(word).items()}, declared, table, "--run-config")


def checked(values: Mapping[str, Any], declared: Mapping[str, Any], table: str, given: str = "run_config") -> dict[str, Any]:
    """The values by key, with dots for tables. `given` is where they were given. Raises Problem for a key that the app does not declare."""
    found, known = dict(flat(values)), dict(flat(declared))
    if unknown := sorted(found.keys() - known.keys()):
        message = f"{given}: the app does not declare {', '.join(map(str, unknown))}"
        raise Problem(Code.USAGE, message, f"[{table}] in its pyproject.toml declares {', '.join(sorted(known)) or 'no keys'}.")
    return found


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _of(word: str) -> dict[str, Any]:
    try:
        return dict(flat(tomllib.loads(_toml(word))))
    except OSError as error:
        raise Problem(Code.USAGE, f"--run-config: {word} cannot be read: {error.strerror}", EXAMPLE) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(Code.USAGE, f"--run-config: {word}: {error}", f"Put strings in quotes. {EXAMPLE}") from error


def _toml(word: str) -> str:
    if word.endswith(".toml"):
        return Path(word).expanduser().read_text()
    if left := PAIR.sub("", word).strip():
        raise Problem(Code.USAGE, f"--run-config: {left} is not key=value", EXAMPLE)
    return "\n".join(f"{key} = {value}" for key, value in PAIR.findall(word))
