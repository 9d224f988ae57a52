"""The chain of the rows of a run's history.

Each row has the `hash` of the row before it as `previous`, and its own: the SHA-256 of its canonical JSON without `hash`. The first row
follows the hash of the run itself, so that rows of another run do not fit. A history that is too long has lost its first rows; its head
says what its first row follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from panal.evidence.canonical import digest, step
from panal.evidence.sealed import ADDED, CHANGED, DROPPED, Finding

Row = Mapping[str, Any]
PREVIOUS, HASH = "previous", "hash"


def first(run: Mapping[str, str]) -> str:
    """What the first row of a run follows. `run`: namespace, name and uid."""
    return digest({"run": {name: run.get(name, "") for name in ("namespace", "name", "uid")}})


def chained(content: Row, previous: str) -> dict[str, Any]:
    """The row that follows `previous`."""
    row = {**content, PREVIOUS: previous}
    return {**row, HASH: hash_of(row)}


def hash_of(row: Row) -> str:
    return digest({name: value for name, value in row.items() if name != HASH})


def _hash_of(row: Any) -> str:
    """Empty for what is no row."""
    try:
        return hash_of(row)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ""


def examined(rows: Sequence[Any], count: int, after: str, last: str, pointer: str) -> Iterator[Finding]:
    """What is not as in the chain of `count` rows that begins `after` a hash, and whose last row has the hash `last`. It is followed
    backwards: what fits the end cannot have been changed. `pointer`: that of the rows."""
    wanted, number = last, len(rows) - 1
    while number >= 0 and wanted != after:
        row, own = rows[number], _hash_of(rows[number])
        said = row.get(HASH) if isinstance(row, Mapping) else None
        here = step(pointer, number)
        if own == wanted:
            if said != own:
                yield Finding(step(here, HASH), CHANGED if said is not None else DROPPED)
        elif number and _hash_of(rows[number - 1]) == wanted:
            yield Finding(here, ADDED)
            number -= 1
            continue
        elif said == own and len(rows) < count:  # it is a row of a chain, but others followed it
            yield Finding(step(pointer, number + 1), DROPPED)
        else:
            yield Finding(here, CHANGED)
            wanted = _follows(rows, number, after)
            number -= 1
            continue
        wanted = str(row[PREVIOUS]) if own else ""
        number -= 1
    for more in range(number, -1, -1):
        yield Finding(step(pointer, more), ADDED)
    if wanted != after:
        yield Finding(step(pointer, 0), DROPPED)


def _follows(rows: Sequence[Any], number: int, after: str) -> str:
    """What a changed row followed, as far as the row before it says that."""
    return _hash_of(rows[number - 1]) if number else after
