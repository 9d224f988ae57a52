"""Finds modules that an app imports and that Flower leaves out of the app bundle, so that the app is refused before anything runs. Pure.

Flower does not bundle `test_*.py` and `*_test.py`, top-level folders that tools create (env, lib, parts, build and others), files that
.gitignore or fab-exclude name, and links. A missing module would fail only at a site. So the imports within the app's folder are followed
from its components and compared with the bundle.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

MODULES = ("{}.py", "{}/__init__.py")
FOLDERS = frozenset({"ENV", "build", "eggs", "env", "lib", "lib64", "parts", "venv"})  # images may lack them as well


@dataclass(frozen=True)
class LeftOut:
    """The file `module` imports `name`, whose file `path` is not in the bundle."""

    module: str
    name: str
    path: str


@dataclass(frozen=True)
class App:
    """`files` are the paths of all Python files in the app's folder, and `read` returns the text of one; `bundled` are the paths in the
    bundle. `elsewhere` returns whether a top-level module is installed."""

    files: Collection[str]
    read: Callable[[str], str]
    bundled: Collection[str]
    elsewhere: Callable[[str], bool]


def left_out(components: Collection[str], app: App) -> list[LeftOut]:
    """The missing files, each with the first file that imports it. `components` are the names of the app's modules."""
    tops, shipped = _tops(app.files), _tops(app.bundled)
    found: dict[str, LeftOut] = {}
    waiting = [(name, "pyproject.toml") for name in components]
    seen: set[str] = set()
    while waiting:
        name, importer = waiting.pop(0)
        top, executed = name.partition(".")[0], list(_executed(name, app.files))
        missing = [f"{top}/"] if top in FOLDERS - tops else [path for path in executed if path not in app.bundled]
        if missing and (top in shipped or not app.elsewhere(top)):
            found |= {path: LeftOut(importer, name, path) for path in missing if path not in found}
        for path in executed:
            if path not in seen:
                seen.add(path)
                waiting += [(imported, path) for imported in imports(app.read(path), path)]
    return list(found.values())


def _tops(paths: Collection[str]) -> set[str]:
    """The top-level module names of these paths."""
    return {path.partition("/")[0].removesuffix(".py") for path in paths}


def _executed(name: str, files: Collection[str]) -> Iterator[str]:
    """The files that an import executes: those of the module's packages, and its own."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        where = "/".join(parts[:count])
        yield from [path for pattern in MODULES if (path := pattern.format(where)) in files][-1:]


def imports(source: str, path: str) -> list[str]:
    """The full names of the modules that a file imports, without those for which it catches ImportError."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []  # the import fails with a clear error
    return [name for node in _needed(tree) for name in _names(node, path)]


def _needed(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Try) and any(_catches(handler) for handler in child.handlers):
            continue
        if isinstance(child, ast.If) and _type_checking(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from _needed(child)


def _catches(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(each is None or getattr(each, "id", "") in ("ImportError", "ModuleNotFoundError", "Exception") for each in caught)


def _type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def _names(node: ast.AST, path: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = PurePosixPath(path).parts[: -node.level or None] if node.level else ()
        base = ".".join([*package, *([node.module] if node.module else [])])
        yield from ([base] if base else [])
        yield from (".".join(part for part in (base, alias.name) if part) for alias in node.names)


def error_message(found: Collection[LeftOut], most: int = 5) -> str:
    """The error message for the user, with the remedy."""
    named = "; ".join(f"{each.module} imports {each.name} ({each.path})" for each in list(found)[:most])
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (
        f"Flower leaves modules out of the app's bundle, and no site could import them: {named}{more}. Rename them: it leaves out "
        "test_*.py, *_test.py and the top-level folders build, eggs, env, lib, lib64, parts, venv, and what .gitignore and fab-exclude name"
    )
