"""`panal run APP --run-config`: values for the app's run config, as `flwr run` takes them, held against what the app declares."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from panal.cli.problem import Code, Problem

PAIR = re.compile(r"""(\S+?)=('[^']*'|"[^"]*"|\S+)""")  # values are TOML's
EXAMPLE = "Such as --run-config 'lr=0.1 optimizer.name=\"sgd\" augment=true', or --run-config values.toml."


def read(words: Sequence[str], declared: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of tables with dots in their names, as Flower writes them. Problem that names what is wrong."""
    found = {key: value for word in words for key, value in _of(word).items()}
    known = dict(flat(declared))
    if unknown := sorted(found.keys() - known.keys()):
        message = f"--run-config: the app declares no key {', '.join(unknown)}"
        raise Problem(Code.USAGE, message, f"[tool.flwr.app.config] in its pyproject.toml has {', '.join(sorted(known)) or 'none'}.")
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
        raise Problem(Code.USAGE, f"--run-config: {word}: {error}", f"Texts stand in quotes. {EXAMPLE}") from error


def _toml(word: str) -> str:
    if word.endswith(".toml"):
        return Path(word).expanduser().read_text()
    if left := PAIR.sub("", word).strip():
        raise Problem(Code.USAGE, f"--run-config: {left} is no key=value", EXAMPLE)
    return "\n".join(f"{key} = {value}" for key, value in PAIR.findall(word))
