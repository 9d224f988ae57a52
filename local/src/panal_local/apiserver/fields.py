"""Sets of fields as in managedFields: paths of elements such as `f:spec`, `k:{"name":"a"}` and `v:"x"`.

A set is a frozenset of tuples. `owned` returns the fields that an applied configuration sets, `compare` the fields that differ between two
objects. The schema decides how lists are compared: lists of type map by keys, sets by values, atomic values as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from panal_local.apiserver.schema import ANY, Schema, child, key

Path = tuple[str, ...]
Fields = frozenset[Path]
EMPTY: Fields = frozenset()
MISSING: Any = object()
_UNOWNED = ["name", "namespace", "creationTimestamp", "uid", "generation", "managedFields", "resourceVersion"]
NOT_OWNED = {("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in _UNOWNED)}


class DuplicateKey(ValueError):  # noqa: N818
    """Two items of one list with the same key."""


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def is_granular_map(value: Any, schema: Schema) -> bool:
    return isinstance(value, dict) and schema.get("x-kubernetes-map-type") != "atomic"


def is_granular_list(value: Any, schema: Schema) -> bool:
    return isinstance(value, list) and schema.get("x-kubernetes-list-type") in ("map", "set")


def element(schema: Schema, item: Any) -> str:
    """The path element of an item of a list of type map or set."""
    if schema["x-kubernetes-list-type"] == "set":
        return f"v:{compact(item)}"
    keys = schema["x-kubernetes-list-map-keys"]
    named = {k: v for k, v in sorted(zip(keys, key(schema, item if isinstance(item, dict) else {}))) if v is not None}
    return f"k:{compact(named)}"


def items(schema: Schema, value: list[Any], path: Path = ()) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in value:
        name = element(schema, item)
        if name in found:
            raise DuplicateKey(f"{readable(path)}: duplicate entries for key {_bracket(name)}")
        found[name] = item
    return found


def children(value: Any, schema: Schema, path: Path = ()) -> dict[str, tuple[Any, Schema]] | None:
    """The parts of a granular map or list with their schemas; None for an atomic value."""
    if is_granular_map(value, schema):
        return {f"f:{name}": (item, child(schema, name) or ANY) for name, item in value.items()}
    if is_granular_list(value, schema):
        return {name: (item, schema.get("items", ANY)) for name, item in items(schema, value, path).items()}
    return None


def owned(value: Any, schema: Schema) -> Fields:
    return frozenset(p for p in _owned(value, schema, ()) if p not in NOT_OWNED)


def _owned(value: Any, schema: Schema, path: Path) -> Iterator[Path]:
    parts = children(value, schema, path)
    if parts is None or value == {}:
        yield path
        return
    for name, (item, inner) in parts.items():
        if not name.startswith("f:"):
            yield (*path, name)
        yield from _owned(item, inner, (*path, name))


# --- differences --------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Difference:
    """`written` has the fields that were added or changed."""

    written: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def compare(old: Any, new: Any, schema: Schema) -> Difference:
    found = Difference()
    _compare(old, new, schema, (), found)
    for paths in (found.written, found.removed):
        paths -= {*NOT_OWNED, ()}
    return found


def _compare(old: Any, new: Any, schema: Schema, path: Path, found: Difference) -> None:
    try:
        before, after = children(old, schema, path), children(new, schema, path)
    except DuplicateKey:
        before = after = None
    if before is not None and after is not None:
        for name, (_, inner) in {**before, **after}.items():
            a, b = (parts[name][0] if name in parts else MISSING for parts in (before, after))
            if a is not b:
                _compare(a, b, inner, (*path, name), found)
    elif old != new or type(old) is not type(new):
        found.written.update(_subtree(new, schema, path))
        found.removed.update(_subtree(old, schema, path) - _subtree(new, schema, path))


def _subtree(value: Any, schema: Schema, path: Path) -> set[Path]:
    """The path and all paths below it."""
    if value is MISSING:
        return set()
    try:
        parts = children(value, schema, path) or {}
    except DuplicateKey:
        parts = {}
    return {path}.union(*(_subtree(item, inner, (*path, name)) for name, (item, inner) in parts.items()))


# --- the format of managedFields ----------------------------------------------------------------------------------
def to_v1(fields: Fields | set[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    inner = {p[:i] for p in fields for i in range(1, len(p))}
    for path in sorted(fields | inner):
        node = root
        for name in path:
            node = node.setdefault(name, {})
        if path in inner and path in fields:
            node["."] = {}
    return root


def from_v1(value: Any, path: Path = ()) -> Iterator[Path]:
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        if name == ".":
            yield path
        elif not inner:
            yield (*path, name)
        else:
            yield from from_v1(inner, (*path, name))


def readable(path: Path) -> str:
    """The path in messages, such as .spec.ports[name="http"].port."""
    return "".join(f".{p[2:]}" if p.startswith("f:") else _bracket(p) for p in path)


def _bracket(name: str) -> str:
    if name.startswith("k:"):
        return f"[{','.join(f'{k}={compact(v)}' for k, v in json.loads(name[2:]).items())}]"
    return f"[={name[2:]}]"
