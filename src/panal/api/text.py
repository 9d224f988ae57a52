"""Text of others as it is shown: in a status, an Event, a log, on a terminal.

Names of metrics, exceptions, termination messages, a kubelet's and an agent's words, claims: whoever writes one of them must not be able
to move the cursor of whoever reads it, to start a line of its own, to turn the order of what follows, or to be without end. So every
character that does not print as itself is written as its escape (`\\n`, `\\x1b`, `\\u202e`), and what is too long is cut and ends in `…`.

A backslash stays as it is: what has been shown is not changed by being shown again, and so both where such a text enters and where it is
printed can see to it. Text of the programs in a user's image is treated by `panal.pod.tools.files`, which cannot import this.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

LONGEST = 4000  # characters of one line, where nothing shorter is asked for
_MARK = 8  # hexadecimal digits
# Unicode counts these as letters, marks or symbols, but nothing is seen of them.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def shown(text: str, most: int = LONGEST) -> str:
    """On one line, of at most `most` characters, each of which prints."""
    if len(text) <= most and _prints(text):
        return text
    pieces = [_escaped(character) for character in text[: most + 1]]
    if len(text) <= most and sum(map(len, pieces)) <= most:
        return "".join(pieces)
    kept, room = [], most - 1
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def block(text: str, most: int = LONGEST) -> str:
    """Text of several lines: they and tabs stay, anything else is as in `shown`, `most` for each line. A carriage return ends a line, as
    a progress bar uses it."""
    return "\n".join(_line(line, most) for line in re.sub(r"\r+\n?", "\n", text).split("\n"))


def name(text: str, most: int) -> str:
    """A name by which something is told from others: one that cannot be shown as it is ends in a mark of all of it."""
    found = shown(text, most)
    if found == text:
        return text
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    return f"{shown(text, most - _MARK - 1)}~{mark}"


def by_name(values: Mapping[str, T], most: int) -> dict[str, T]:
    """`values` by their names as they are shown. Names that are the same then, which takes intent, are left out: neither value may pass
    for the other."""
    names = [name(key, most) for key in values]
    often = Counter(names)
    return {found: value for found, value in zip(names, values.values(), strict=True) if often[found] == 1}


def _prints(text: str) -> bool:
    return text.isprintable() and (text.isascii() or not _UNSEEN.search(text))


def _escaped(character: str) -> str:
    return character if _prints(character) else character.encode("unicode_escape").decode()


def _line(text: str, most: int) -> str:
    return "\t".join(shown(part, most) for part in text.split("\t"))
