"""progress.jsonl as it grows: every poll gives the records that are complete and new, whatever was written in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Tail:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def poll(self) -> list[dict[str, Any]]:
        """A line without its end waits for the next poll; one that is no JSON object is passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return []
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return [record for line in lines if (record := _parse(line)) is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
