"""Reads new lines of a growing file, such as progress.jsonl."""

from __future__ import annotations

from pathlib import Path


class Tail:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def poll(self) -> list[bytes]:
        """The complete lines since the last poll; empty if the file does not exist."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return []
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return lines
