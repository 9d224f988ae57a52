"""Kubernetes' JSONPath as feedback rules use it, without braces: `.status.conditions[?(@.type=="Ready")].status`.

Fields, ['quoted fields'], indexes, slices, wildcards, `..` and filters with one comparison. What is missing is nothing found; an index
beyond the end of a list is an error, as in Kubernetes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]


class PathError(ValueError):
    """The path is wrong, or does not suit the object."""


TOKEN = re.compile(
    r"""(?P<deep>\.\.)|\.(?P<field>(?:\\.|[^\s.\[\]'"*()])+)|\.?(?P<all>\*)|\[\s*(?P<star>\*)\s*\]|\[\s*(?P<index>-?\d+)\s*\]"""
    r"""|\[\s*(?P<start>-?\d*)\s*:\s*(?P<end>-?\d*)\s*\]|\[\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\]"""
    r"""|\[\?\(\s*(?P<filter>.+?)\s*\)\]""",
)
FILTER = re.compile(r"(?P<left>@[^=!<>\s]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+))?")
LITERAL = re.compile(r"""'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>true|false)""")
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def find(path: str, obj: Any) -> list[Any]:
    """All that the path leads to; PathError where that cannot be told."""
    found = [obj]
    for step in compile_path(path):
        found = [value for each in found for value in step(each)]
    return found


@lru_cache(maxsize=1024)
def compile_path(path: str) -> tuple[Step, ...]:
    rest = path.strip().removeprefix("$").removeprefix("@")
    steps: list[Step] = []
    while rest and rest != ".":
        token = TOKEN.match(rest)
        if not token:
            raise PathError("unterminated array" if rest.startswith("[") and "]" not in rest else f"unrecognized character in {rest!r}")
        steps.append(_step(token))
        rest = rest[token.end() :] if not token["deep"] else f".{rest[2:]}".replace(".[", "[", 1)
    return tuple(steps)


def _step(token: re.Match[str]) -> Step:
    if token["deep"]:
        return _everything
    if token["all"] or token["star"]:
        return _children
    if token["index"] is not None:
        return _index(int(token["index"]))
    if token["start"] is not None:
        return _slice(token["start"], token["end"])
    if token["filter"]:
        return _filter(token["filter"])
    name = token["single"] or token["double"] or re.sub(r"\\(.)", r"\1", token["field"] or "")
    return lambda value: iter([value[name]] if isinstance(value, dict) and name in value else ())


def _children(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _everything(value: Any) -> Iterator[Any]:
    yield value
    for child in _children(value):
        yield from _everything(child)


def _index(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        items = _list(value)
        if not -len(items) <= index < len(items):
            raise PathError(f"array index out of bounds: index {index}, length {len(items)}")
        yield items[index]

    return step


def _slice(start: str, end: str) -> Step:
    return lambda value: iter(_list(value)[int(start) if start else None : int(end) if end else None])


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PathError(f"{type(value).__name__} is not array or slice")
    return value


def _filter(text: str) -> Step:
    parsed = FILTER.fullmatch(text)
    if not parsed:
        raise PathError(f"filter {text!r}: one comparison of @… with a text, a number, true or false")
    left, compare = parsed["left"].strip(), COMPARE.get(parsed["op"] or "")
    right = _literal(parsed["right"]) if compare else None
    compile_path(left)

    def holds(item: Any) -> bool:
        found = find(left, item)
        return bool(found) and (compare is None or _compared(compare, found[0], right))

    return lambda value: (item for item in _list(value) if holds(item))


def _literal(text: str) -> Any:
    found = LITERAL.fullmatch(text.strip())
    if not found:
        raise PathError(f"unrecognized literal {text!r}")
    if found["number"]:
        return float(found["number"]) if "." in found["number"] else int(found["number"])
    return found["word"] == "true" if found["word"] else found["single"] or found["double"] or ""


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    try:
        return compare(left, right)
    except TypeError:
        return False
