"""What an app's image installs: its dependencies, with Flower at a version that panal supports."""

from __future__ import annotations

import re
from pathlib import Path

from panal.cli.problem import explained
from panal.local.node.recipes import read

SUPPORTED = "flwr==1.41.*"


def arguments(folder: Path) -> list[str]:
    """For pip, in the app's folder."""
    with explained():
        recipe = read(folder)
    if recipe.requirements:
        return ["-r", recipe.requirements.name]
    asks = any(re.match(r"flwr\b(?![-_.])", line.strip(), re.IGNORECASE) for line in recipe.dependencies)
    return [*recipe.dependencies, *([SUPPORTED] if asks else [])]
