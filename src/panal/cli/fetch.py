"""Downloads one package, with uv or pip, as an image of the local platform is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SAID = 2000  # characters of the program's last output


class FetchError(Exception):
    """Why the package cannot be downloaded."""


def fetch_alone(requirement: str, folder: Path) -> None:
    """Installs the package into `folder`, without its dependencies. Raises FetchError."""
    uv = shutil.which("uv")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    command = [*([uv, "pip", "install", "--python", sys.executable] if uv else pip), "--no-deps", "--target", str(folder), requirement]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise FetchError(f"fetching {requirement}: {error}") from error
    if done.returncode:
        raise FetchError(f"fetching {requirement} failed ({' '.join(command[:4])} …):\n{done.stdout[-SAID:].strip()}")
