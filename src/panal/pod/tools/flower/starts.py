"""Determines from the source of a server app whether it calls `Strategy.start` once or several times.

spec.server.rounds replaces the app's number of rounds only if there is one call. An app that trains in stages, or several models, keeps
its own numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

MOST_FILES, LARGEST = 200, 1 << 20  # number of files, and bytes of a file, that are read at most
MANY = 2
_WORDS = {"grid", "initial_arrays", "num_rounds"}
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Starts:
    """The parsed sources of a server app in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._trees = {str(file): tree for file in python_files(folder) if (tree := _parsed(file)) is not None}
        functions: dict[str, list[ast.AST]] = {}
        for tree in self._trees.values():
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    functions.setdefault(node.name, []).append(node)
        self._count = Count(functions)

    def several(self, frame: FrameType | None) -> bool:
        """Whether the call of `start` in `frame` may be one of several: a function of the app on the call stack calls `start` repeatedly,
        or its current line is in a loop."""
        while frame is not None:
            tree = self._trees.get(frame.f_code.co_filename)
            function = _enclosing_function(tree, frame.f_lineno) if tree is not None else None
            if function is not None and (self._count.of(function) >= MANY or _in_loop(function, frame.f_lineno)):
                return True
            frame = frame.f_back
        return False


def python_files(folder: Path) -> list[Path]:
    """The Python files of an app that are read."""
    return [file for file in sorted(folder.rglob("*.py")) if file.is_file() and file.stat().st_size <= LARGEST][:MOST_FILES]


def _parsed(file: Path) -> ast.AST | None:
    try:
        return ast.parse(file.read_text(errors="replace"))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _contains(node: ast.AST, line: int) -> bool:
    return bool(getattr(node, "lineno", line + 1) <= line <= (getattr(node, "end_lineno", None) or 0))


def _enclosing_function(tree: ast.AST, line: int) -> ast.AST | None:
    """The innermost function that contains the line."""
    found = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and _contains(n, line)]
    return max(found, key=lambda node: node.lineno, default=None)


def _in_loop(function: ast.AST, line: int) -> bool:
    return any(isinstance(node, _LOOPS) and _contains(node, line) for node in ast.walk(function))


class Count:
    """Counts the calls of `start` in a function, up to MANY. Of two branches, the one with more calls counts."""

    def __init__(self, functions: Mapping[str, list[ast.AST]]) -> None:
        self._functions = functions
        self._within: list[str] = []

    def of(self, function: ast.AST) -> int:
        return self._block(getattr(function, "body", []))

    def _block(self, statements: list[ast.stmt]) -> int:
        total = 0
        for number, each in enumerate(statements):
            if isinstance(each, ast.If) and each.body and isinstance(each.body[-1], (ast.Return, ast.Raise)):
                rest = self._block([*each.orelse, *statements[number + 1 :]])
                return min(MANY, total + self._node(each.test) + max(self._block(each.body), rest))
            total += self._node(each)
        return min(MANY, total)

    def _node(self, node: ast.AST) -> int:
        if isinstance(node, _FUNCTIONS):
            return 0
        if isinstance(node, (ast.If, ast.IfExp)):
            branches = [b if isinstance(b, list) else [b] for b in (node.body, node.orelse)]
            return min(MANY, self._node(node.test) + max(sum(map(self._node, branch)) for branch in branches))
        if isinstance(node, ast.Match):
            return max((self._block(case.body) for case in node.cases), default=0)
        if isinstance(node, ast.Try):
            handlers = max((self._block(handler.body) for handler in node.handlers), default=0)
            return min(MANY, self._block(node.body) + handlers + self._block(node.orelse) + self._block(node.finalbody))
        inner = sum(map(self._node, ast.iter_child_nodes(node))) + (self._call(node) if isinstance(node, ast.Call) else 0)
        return MANY if inner and isinstance(node, _LOOPS) else min(MANY, inner)

    def _call(self, call: ast.Call) -> int:
        if _is_start(call):
            return 1
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        if name in self._within or name not in self._functions:
            return 0
        self._within.append(name)
        found = max(map(self.of, self._functions[name]))
        self._within.pop()
        return found


def _is_start(call: ast.Call) -> bool:
    """Whether the call is one of `Strategy.start`: not `start()` of a thread or timer, nor `super().start(...)` of a strategy."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "start":
        return False
    owner = call.func.value
    if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super":
        return False
    return bool(_WORDS & {k.arg for k in call.keywords}) or any(k.arg is None for k in call.keywords) or len(call.args) > 1
