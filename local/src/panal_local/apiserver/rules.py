"""The CEL rules of a CRD (x-kubernetes-validations).

A rule sees the value at its level as `self`, and in an update the previous value as `oldSelf`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from panal_local import cel
from panal_local.apiserver.errors import FORBIDDEN, INVALID, REQUIRED, Cause
from panal_local.apiserver.schema import ANY, Schema, child, key, kind_of

Object = dict[str, Any]
ABSENT: Any = object()
WORDS = {FORBIDDEN: "Forbidden", REQUIRED: "Required value"}


@cache
def program(rule: str, optional_old: bool = False) -> Any:
    """Compiles a rule. Raises CelError."""
    text = f"cel.bind(oldSelf, __old == null ? optional.none() : optional.of(__old), {rule}\n)" if optional_old else rule
    return cel.compiled(text, "self", "oldSelf", "__old")


def check(new: Object, old: Object | None, schema: Schema) -> Iterator[Cause]:
    return _check(_visible(new), ABSENT if old is None else _visible(old), schema, "")


def _visible(obj: Object) -> Object:
    """The object as rules see it: of the metadata, only the names."""
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
        return  # an update may keep values that were invalid before
    message = rule.get("message") or f"failed rule: {rule['rule'].strip()}"
    try:
        before = None if old is ABSENT else old
        if cel.evaluated(program(rule["rule"], optional), self=new, oldSelf=before, __old=before) is True:
            return
    except cel.CelError as error:
        message = f"{error} evaluating rule: {message}"
    reason = rule.get("reason") or INVALID
    field = f"{path}{rule.get('fieldPath', '')}".removeprefix(".") or "<nil>"
    yield Cause(reason, f"{WORDS.get(reason, _invalid(new))}: {message}", field)


def _invalid(value: Any) -> str:
    return f'Invalid value: "{kind_of(value)}"'
