"""Determines how many nodes a server app waits for, from the comparison in the loop in which it polls the grid.

Many apps, and Flower's `sample_nodes`, have a loop like `while len(node_ids) < min_nodes: node_ids = list(grid.get_node_ids())`.
"""

from __future__ import annotations

import ast
import linecache
from types import FrameType
from typing import Any


def wanted(frame: FrameType | None) -> int | None:
    """The number of nodes in the loop of the nearest caller that has one; None if there is none."""
    while frame is not None:
        if (found := _in_frame(frame)) is not None:
            return found
        frame = frame.f_back
    return None


def _in_frame(frame: FrameType) -> int | None:
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    names = {**frame.f_globals, **frame.f_locals}
    for test in tests(source, frame.f_lineno):
        if (name := bound(test)) is not None:
            value = names.get(name) if isinstance(name, str) else name
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def tests(source: str, line: int) -> list[ast.expr]:
    """The conditions of the `while` loops around a line, and of the `if`s in them, from the innermost loop outwards."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    loops = [n for n in ast.walk(tree) if isinstance(n, ast.While) and n.lineno <= line <= (n.end_lineno or n.lineno)]
    found = []
    for loop in sorted(loops, key=lambda n: -n.lineno):
        found += [loop.test, *(n.test for n in ast.walk(loop) if isinstance(n, ast.If))]
    return found


def bound(test: ast.expr) -> Any:
    """The name or number with which a length is compared, as in `len(nodes) < wanted` or `wanted <= len(nodes)`; None if there is none."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    left, right = test.left, test.comparators[0]
    other = right if _is_length(left) else left if _is_length(right) else None
    if isinstance(other, ast.Name):
        return other.id
    return other.value if isinstance(other, ast.Constant) and isinstance(other.value, int) else None


def _is_length(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) and expression.func.id == "len"
