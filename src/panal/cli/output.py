"""Prints results to stdout, and messages to stderr.

All text is escaped by `panal.api.text` before it reaches a terminal, since objects contain untrusted text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from panal.api.figures import in_one_unit
from panal.api.text import block, shown
from panal.client.problem import Problem
from panal.client.telling import FewLines, Tell

CELL = 600  # characters of one cell of a table

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def as_json(content: Any) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def line(text: str, to: Console = out) -> None:
    to.print(shown(text), markup=False)


def note(text: str) -> None:
    err.print(shown(text), style="dim", markup=False)


def warn(text: str) -> None:
    err.print(f"warning: {shown(text)}", style="yellow", markup=False)


@contextmanager
def steps(text: str) -> Iterator[Callable[[str], None]]:
    """Reports the progress of a task by its steps: in one line on a terminal, otherwise in a few lines."""
    if not err.is_terminal:
        yield FewLines(text, note)
        return
    with err.status(Text(shown(text), style="dim")) as status:
        yield lambda step: status.update(Text(shown(step), style="dim"))


TELL = Tell(note, steps)


def problem(found: Problem) -> None:
    """Prints an error. It has several lines if it contains the output of a program such as pip."""
    err.print(block(f"error: {found}"), style="bold", markup=False)
    if found.remedy:
        err.print(f"  {block(found.remedy)}", markup=False)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table as kubectl prints it: no borders, three spaces between columns. A narrow terminal cuts the last column."""
    made = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    cells = [_cells(row) for row in rows]
    for number, name in enumerate(header):
        widest = max(len(row[number]) for row in [header, *cells])
        made.add_column(name, no_wrap=True, min_width=widest if number < len(header) - 1 else None)
    for row in cells:
        made.add_row(*map(Text, row))
    return made


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table as plain text, independent of the terminal's width, so that awk can read it."""
    everything = [header, *map(_cells, rows)]
    widths = [max(len(row[i]) for row in everything) for i in range(len(header))]
    for row in everything:
        line("   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _cells(row: Sequence[str]) -> list[str]:
    return [shown(cell, CELL) for cell in row]


def age(since: str | None, now: datetime | None = None) -> str:
    """The time since then, such as 12s, 5m or 3d: as short as kubectl has it in a table."""
    if not since:
        return ""
    count, unit = in_one_unit(((now or datetime.now(UTC)) - datetime.fromisoformat(since)).total_seconds())
    return f"{count}{unit[0]}"
