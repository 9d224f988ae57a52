"""Kubernetes' JSONPath as far as panal's feedback rules use it, without braces: `.status.conditions[?(@.type=="Ready")].status`.

Fields, ['quoted fields'], indexes, [*] and filters that compare one field with a text. What is missing is nothing found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]
KNOWN = "the local platform knows .field, ['field'], [0], [*] and [?(@.field==\"text\")]"
TOKEN = re.compile(
    r"""\.(?P<field>(?:\\.|[^\s.\[\]'"*()])+)|\['(?P<quoted>[^']*)'\]|\[(?P<index>\d+)\]|(?P<all>\[\*\])"""
    r"""|\[\?\(\s*@\.(?P<key>\w+)\s*==\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\)\]""",
)


class PathError(ValueError):
    """The path is wrong, or not known here."""


def find(path: str, obj: Any) -> list[Any]:
    """All that the path leads to."""
    found = [obj]
    for step in _compiled(path):
        found = [value for each in found for value in step(each)]
    return found


@lru_cache(maxsize=1024)
def _compiled(path: str) -> tuple[Step, ...]:
    rest, steps = path.strip(), []
    while rest:
        token = TOKEN.match(rest)
        if not token:
            raise PathError(f"unrecognized {rest!r}: {KNOWN}")
        steps.append(_step(token))
        rest = rest[token.end() :]
    return tuple(steps)


def _step(token: re.Match[str]) -> Step:
    if token["index"]:
        return lambda value: iter(_items(value)[int(token["index"]) :][:1])
    if token["all"]:
        return lambda value: iter(_items(value))
    if token["key"]:
        wanted = token["single"] or token["double"] or ""
        return lambda value: (each for each in _items(value) if isinstance(each, dict) and each.get(token["key"]) == wanted)
    name = token["quoted"] or re.sub(r"\\(.)", r"\1", token["field"] or "")
    return lambda value: iter([value[name]] if isinstance(value, dict) and name in value else ())


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
