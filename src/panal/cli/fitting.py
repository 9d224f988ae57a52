"""Lines that fit a narrow terminal: a bar in a line becomes shorter first, then words at its end are left out.

A word is never cut, because a part of a number is another number.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

BAR = 20  # characters, where there is room
LEFT_OUT = " …"


class Line:
    """`made` makes the text of the line with a bar of so many characters."""

    def __init__(self, made: Callable[[int], Text]) -> None:
        self._made = made

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.fitted(options.max_width)

    def fitted(self, width: int) -> Text:
        found = self._made(BAR)
        over = found.cell_len - width
        return found if over <= 0 else cut(self._made(max(0, BAR - over)), width)


def line(text: str, style: str = "") -> Line:
    return Line(lambda _: Text(text, style))


def cut(text: Text, width: int) -> Text:
    """`text` in `width` characters. If words are left out, it ends in `…`."""
    if text.cell_len <= width:
        return text
    kept = text.copy()
    kept.truncate(max(0, width - len(LEFT_OUT)))
    end = len(kept.plain)
    if not text.plain[end].isspace():  # within a word
        end = kept.plain.rfind(" ") if " " in kept.plain else end
    kept = text[:end]
    kept.rstrip()
    kept.append(LEFT_OUT, "dim")
    return kept
