"""Escapes untrusted text for display in a status, an Event, a log or on a terminal.

Names of metrics, exceptions, termination messages, messages of kubelets and agents, and claims are untrusted: they must not move the
cursor of a terminal, start a new line, reverse the order of the text that follows, or have an unlimited length. So every character that
does not print is replaced by its escape (`\\n`, `\\x1b`, `\\u202e`), and text that is too long is cut and ends in `…`.

A backslash is not escaped, so escaping is idempotent: it is applied both where a text enters and where it is printed. Programs in a user's
image cannot import this module; `panal.pod.tools.files` escapes their text.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

LONGEST = 4000  # characters of one line, unless the caller gives a limit
_MARK = 8  # hexadecimal digits
# Unicode counts these as letters, marks or symbols, but they are invisible.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def shown(text: str, most: int = LONGEST) -> str:
    """`text` escaped, on one line of at most `most` characters."""
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
    """Text of several lines, which keeps line breaks and tabs; each line is escaped as by `shown`. A carriage return, as in a progress bar,
    ends a line."""
    return "\n".join(_line(line, most) for line in re.sub(r"\r+\n?", "\n", text).split("\n"))


def name(text: str, most: int) -> str:
    """A name that stays unique: if it must be escaped or cut, it ends in `~` and eight digits of the whole name's SHA-256."""
    found = shown(text, most)
    if found == text:
        return text
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    return f"{shown(text, most - _MARK - 1)}~{mark}"


def by_name(values: Mapping[str, T], most: int) -> dict[str, T]:
    """`values` by their escaped names. Names that become equal, which happens only on purpose, are dropped: neither value may pass for the
    other."""
    names = [name(key, most) for key in values]
    often = Counter(names)
    return {found: value for found, value in zip(names, values.values(), strict=True) if often[found] == 1}


def _prints(text: str) -> bool:
    return text.isprintable() and (text.isascii() or not _INVISIBLE.search(text))


def _escaped(character: str) -> str:
    return character if _prints(character) else character.encode("unicode_escape").decode()


def _line(text: str, most: int) -> str:
    return "\t".join(shown(part, most) for part in text.split("\t"))
