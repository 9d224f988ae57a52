"""The tables of docs/reference/cli.md, generated from the commands: `python -m panal.cli.reference FILE` updates them in FILE.

They are between `<!-- commands -->` and `<!-- end -->`. A test compares the page with the commands.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from panal.cli.main import app

COMMANDS = re.compile(r"(<!-- commands -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> str:
    return "\n".join(_of(typer.main.get_command(app), "panal"))


def _of(command: Any, name: str) -> Iterator[str]:
    """`command` is a command of click, or a group of commands."""
    for each, found in getattr(command, "commands", {}).items():
        if getattr(found, "invoke_without_command", True):  # a command, or a group that is also a command
            yield from _single(found, f"{name} {each}")
        yield from _of(found, f"{name} {each}")


def _single(command: Any, name: str) -> Iterator[str]:
    arguments = " ".join(_argument(p) for p in command.params if p.param_type_name == "argument")
    yield from (f"### `{name}{f' {arguments}' if arguments else ''}`", "", command.help, "", "| option | meaning |", "|---|---|")
    for parameter in command.params:
        meaning = (getattr(parameter, "help", "") or "").replace("|", "\\|")
        yield f"| `{_written(parameter)}` | {meaning} |"
    yield ""


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _written(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _argument(parameter).replace("|", "\\|")
    options = ", ".join(sorted(parameter.opts, key=len))
    if parameter.is_flag:
        return options
    return f"{options} {parameter.metavar or _value(parameter.type_descriptor.annotation)}".replace("|", "\\|")


def _value(type_: type) -> str:
    if issubclass(type_, StrEnum):
        return "|".join(type_)
    return {"int": "NUMBER", "float": "SECONDS", "Path": "PATH"}.get(type_.__name__, "TEXT")


def renewed(page: str) -> str:
    return COMMANDS.sub(lambda found: f"{found[1]}{commands()}{found[2]}", page)


def main() -> None:
    for name in sys.argv[1:]:
        Path(name).write_text(renewed(Path(name).read_text()))


if __name__ == "__main__":
    main()
