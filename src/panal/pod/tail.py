"""progress.jsonl as it grows: every poll gives the lines that are complete and new."""

from __future__ import annotations

from pathlib import Path


class Tail:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def poll(self) -> list[bytes]:
        """A line without its end waits for the next poll."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return []
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return lines
