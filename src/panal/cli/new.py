"""`panal new myapp`: creates a small Flower app from the files in `template/`.

Their names end in `.txt`, since they are not modules of panal; NAME and MODULE in them are replaced by the app's names.
"""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from panal.cli.package import contents, filled, write
from panal.client.problem import Code, Problem

NAME = re.compile(r"[a-z][a-z0-9-]{0,29}")


def new(target: Path) -> list[Path]:
    """Returns the created files. Raises Problem if the folder exists, or its name is not valid for an app."""
    name = target.name
    module = name.replace("-", "_")
    if not NAME.fullmatch(name) or name.endswith("-") or keyword.iskeyword(module):
        message = f"{name!r} is not a valid name of an app: use at most 30 lowercase letters, digits and -, starting with a letter"
        raise Problem(Code.USAGE, message, "An example is `panal new myapp`.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Problem(Code.USAGE, f"{target} already exists", "Choose another name, or remove it.")
    made = list(_copy(files("panal.cli") / "template", target, {"NAME": name, "MODULE": module}))
    return [*made, *write(target, contents(target))]


def _copy(source: Traversable, target: Path, names: dict[str, str]) -> list[Path]:
    made: list[Path] = []
    for entry in sorted(source.iterdir(), key=lambda e: e.name):
        place = target / filled(entry.name.removesuffix(".txt"), names)
        if entry.is_dir():
            made += _copy(entry, place, names)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(filled(entry.read_text(), names))
            made.append(place)
    return made
