"""Atomic writes: a temporary file is renamed to its final name. A reader, also after a crash, sees a complete file or none."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Writes a file with this mode. `durable`: the content is on disk when the function returns, so that it survives a power loss."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # left by a killed process, maybe with another mode
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)
