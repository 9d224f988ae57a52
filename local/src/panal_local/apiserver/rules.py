"""What the CEL rules of a definition say of its objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from panal_local.apiserver import cel
from panal_local.apiserver.cel import ABSENT
from panal_local.apiserver.errors import FORBIDDEN, INVALID, REQUIRED, Cause
from panal_local.apiserver.schema import ANY, Schema, child, key, kind_of

Object = dict[str, Any]
WORDS = {FORBIDDEN: "Forbidden", REQUIRED: "Required value"}


def check(new: Object, old: Object | None, schema: Schema) -> Iterator[Cause]:
    return _check(_visible(new), ABSENT if old is None else _visible(old), schema, "")


def _visible(obj: Object) -> Object:
    """At the root a rule sees of metadata the names alone."""
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k in ("name", "generateName")}}


def _check(new: Any, old: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if new is not None:
        for rule in schema.get("x-kubernetes-validations", ()):
            yield from _broken(rule, new, old, path)
    if isinstance(new, dict):
        for name, item in new.items():
            before = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
            yield from _check(item, before, child(schema, name) or ANY, f"{path}.{name}" if path else name)
    elif isinstance(new, list) and "items" in schema:
        former = _by_key(old, schema)
        for i, item in enumerate(new):
            before = former.get(key(schema, item), ABSENT) if former and isinstance(item, dict) else ABSENT
            yield from _check(item, before, schema["items"], f"{path}[{i}]")


def _by_key(old: Any, schema: Schema) -> dict[Any, Any]:
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return {}
    return {key(schema, item): item for item in old if isinstance(item, dict)}


def _broken(rule: Object, new: Any, old: Any, path: str) -> Iterator[Cause]:
    transition, optional = "oldSelf" in rule["rule"], bool(rule.get("optionalOldSelf"))
    if transition and old is ABSENT and not optional:
        return
    if not transition and old is not ABSENT and new == old:
        return  # what has not changed is not held against an update
    message = rule.get("message") or f"failed rule: {rule['rule'].strip()}"
    try:
        if cel.holds(rule["rule"], new, old, optional):
            return
    except cel.CelError as error:
        message = f"{error} evaluating rule: {message}"
    reason = rule.get("reason") or INVALID
    field = f"{path}{rule.get('fieldPath', '')}".removeprefix(".") or "<nil>"
    yield Cause(reason, f"{WORDS.get(reason, _invalid(new))}: {message}", field)


def _invalid(value: Any) -> str:
    return f'Invalid value: "{kind_of(value)}"'
