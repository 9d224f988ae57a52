"""Files that other containers of the Pod read: they find the old content or the new, never half of it."""

from __future__ import annotations

import os
from pathlib import Path


def replace(file: Path, text: str, mode: int = 0o644) -> None:
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o700), "w") as handle:
        os.fchmod(handle.fileno(), mode)  # whatever the umask is
        handle.write(text)
    part.replace(file)


def replace_bytes(file: Path, content: bytes) -> None:
    """As `replace`, and on the disk when it returns."""
    part = file.with_name(f".{file.name}.part")
    with part.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(file)
