"""Kubernetes' JSONPath without braces, as in feedback rules and printer columns: `.status.conditions[?(@.type=="Ready")].status`.

Supports fields, indexes, [*], and filters that compare a field with a string. A path to a missing field finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]
KNOWN = 'the local platform knows .field, [0], [*] and [?(@.field=="text")]'
TOKEN = re.compile(
    r"""\.(?P<field>[^\s.\[\]'"*()]+)|\[(?P<index>\d+)\]|(?P<all>\[\*\])|\[\?\(\s*@\.(?P<key>\w+)\s*==\s*["'](?P<wanted>[^"']*)["']\s*\)\]"""
)


class PathError(ValueError):
    """The path is invalid or not supported."""


def find(path: str, obj: Any) -> list[Any]:
    """All values at the path. Raises PathError."""
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
        return lambda value: (each for each in _items(value) if isinstance(each, dict) and str(each.get(token["key"])) == token["wanted"])
    return lambda value: iter([value[token["field"]]] if isinstance(value, dict) and token["field"] in value else ())


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
