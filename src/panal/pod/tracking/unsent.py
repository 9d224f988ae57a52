"""Which rounds a server has not got yet, by a mark of the last one that it has. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from panal.pod.history import Row


def mark(row: Row) -> str:
    """Identifies a row."""
    return f"{row.round}@{row.time}"


def unlogged(rows: Sequence[Row], last: str) -> list[Row]:
    """The rows after the one with the mark `last`. If none has it, because its round was repeated, those that ended later."""
    for index in range(len(rows) - 1, -1, -1):
        if mark(rows[index]) == last:
            return list(rows[index + 1 :])
    try:
        time = float(last.partition("@")[2])
    except ValueError:
        return list(rows)
    return [row for row in rows if row.time is None or row.time > time]
