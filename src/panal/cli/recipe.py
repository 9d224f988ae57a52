"""How the image of an app is made, from pyproject.toml: what is installed, and the table [tool.panal.image].

What is installed is `project.dependencies` and what requirements.txt beside it adds, or that alone if it has hashes (`requirements`).
Everything else has a default, and is in the table:

    env       variables of every container of the image; {root} is the image's folder
    prepare   a command that runs once in the image's folder when the image is made, such as ["python3", "split.py", "."]
    cmd       what a container runs whose spec gives no command
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panal.cli.requirements import Requirements
from panal.client.problem import Code, Problem


@dataclass(frozen=True, slots=True)
class Recipe:
    folder: Path
    requirements: Requirements
    env: Mapping[str, str]
    prepare: Sequence[str]
    cmd: Sequence[str]


def read(folder: Path, pins: Sequence[str] = ()) -> Recipe:
    """`pins` are requirements to install in addition. Raises Problem if pyproject.toml is missing or invalid."""
    folder = folder.resolve()
    file = folder / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        message = f"{file} is missing: an image is made of a folder with a pyproject.toml, as every Flower app has one"
        raise Problem(Code.IMAGE, message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(Code.IMAGE, f"{file} cannot be read: {error}") from error
    table = content.get("tool", {}).get("panal", {}).get("image", {})
    if unknown := table.keys() - {"env", "prepare", "cmd"}:
        message = f"{file}: [tool.panal.image] has the unknown keys {', '.join(sorted(unknown))}"
        raise Problem(Code.IMAGE, message, "The keys are env, prepare and cmd.")
    dependencies = content.get("project", {}).get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(each, str) for each in dependencies):
        message = f"{file}: project.dependencies is not a list of strings"
        raise Problem(Code.IMAGE, message, 'An example is ["flwr>=1.41", "numpy"].')
    listed = folder / "requirements.txt"
    requirements = Requirements(dependencies, listed if listed.exists() else None, pins)
    return Recipe(folder, requirements, table.get("env", {}), table.get("prepare", []), table.get("cmd", []))
