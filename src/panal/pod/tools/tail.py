"""Reads new lines of a growing file, such as progress.jsonl."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Tail:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def poll(self) -> list[bytes]:
        """The complete lines since the last poll; empty if there is no regular file at the path."""
        try:
            with open(self._path, "rb", opener=regular) as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return []
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return lines


def regular(path: str, flags: int) -> int:
    """An opener that raises FileNotFoundError for anything but a regular file, and does not wait for the other end of a FIFO."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(path)
    return handle
