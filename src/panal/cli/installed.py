"""What an app's image installs: its dependencies, with Flower at a version that panal supports."""

from __future__ import annotations

from pathlib import Path

from panal.cli import flower
from panal.cli.problem import explained
from panal.local.node.recipes import read


def arguments(folder: Path) -> list[str]:
    """For pip, in the app's folder. Says which Flower that is. Problem if it would be one that panal does not know."""
    with explained():
        wanted = read(folder, flower.pins(folder)).requirements
    return [wanted.file.name if wanted.file and each == str(wanted.file) else each for each in wanted.arguments]
