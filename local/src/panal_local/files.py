"""How the parts write a file: beside it, then in its place. Who reads it, also after a crash, finds all of it or nothing."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """`mode` is that of the file. `durable`: it is on the disk when this returns, for what must outlive the machine's sudden end."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # of a process that was killed; it may have another mode
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)
