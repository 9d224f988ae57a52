"""Structural schemas. `prune` removes unknown fields, `default` sets defaults, and `check` finds problems.

Schemas are OpenAPI v3 dicts with Kubernetes' extensions: those of CRDs, and those of built-in kinds from `builtin`. The messages are those
of Kubernetes, since people and programs read them.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator, Sized
from datetime import datetime
from functools import cache
from typing import Any

from panal_local.apiserver.errors import DUPLICATE, INVALID, REQUIRED, TYPE, UNSUPPORTED, Cause, Mistyped

Schema = dict[str, Any]
ANY: Schema = {"x-kubernetes-preserve-unknown-fields": True}
IDENTITY = ("apiVersion", "kind", "metadata")
UNREADABLE = "Unreadable"  # kube-apiserver cannot decode the value
QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
RANGES = {"int32": 31, "int64": 63}


def key(schema: Schema, item: dict[str, Any]) -> tuple[Any, ...]:
    """The values of the keys of an item of a list of type map; an omitted key has its default."""
    properties = schema.get("items", {}).get("properties", {})
    return tuple(item.get(k, properties.get(k, {}).get("default")) for k in schema["x-kubernetes-list-map-keys"])


def child(schema: Schema, name: str) -> Schema | None:
    """The schema of a field; None if the field is unknown. A map accepts every name."""
    found: Schema | None = schema.get("properties", {}).get(name)
    if found is not None:
        return found
    rest = schema.get("additionalProperties")
    if rest is True or (rest is None and schema.get("x-kubernetes-preserve-unknown-fields")):
        return ANY
    return rest if isinstance(rest, dict) else None


# --- pruning ------------------------------------------------------------------------------------------------------
def prune(value: Any, schema: Schema, path: str = "") -> list[str]:
    """Removes unknown fields from `value` in place, and returns their paths."""
    if isinstance(value, dict):
        return [p for name in list(value) for p in _prune_field(value, name, schema, path)]
    if isinstance(value, list) and "items" in schema:
        return [p for i, item in enumerate(value) for p in prune(item, schema["items"], f"{path}[{i}]")]
    return []


def _prune_field(value: dict[str, Any], name: str, schema: Schema, path: str) -> list[str]:
    here = f"{path}.{name}" if path else name
    if schema.get("x-kubernetes-embedded-resource") and name in IDENTITY:
        return []
    known = child(schema, name)
    if known is None:
        del value[name]
        return [here]
    return prune(value[name], known, here)


# --- defaulting ---------------------------------------------------------------------------------------------------
def default(value: Any, schema: Schema) -> None:
    """Sets defaults in `value` in place. A null where null is not allowed counts as omitted."""
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, known in properties.items():
            if value.get(name, ANY) is None and expected(known) and not known.get("nullable"):
                del value[name]
            if name not in value and "default" in known:
                value[name] = copy.deepcopy(known["default"])
            if name in value:
                default(value[name], known)
        if isinstance(rest, dict):
            for name in value.keys() - properties.keys():
                default(value[name], rest)
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            default(item, schema["items"])


# --- validation ---------------------------------------------------------------------------------------------------
def check(value: Any, schema: Schema, path: str = "") -> Iterator[Cause]:
    if value is None:
        if not schema.get("nullable") and (kind := expected(schema)):
            yield _mistyped(kind, "null", path)
        return
    kind, given = expected(schema), kind_of(value)
    if kind and not _has_type(value, kind):
        yield _mistyped(kind, given, path)
        return
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(json.dumps(v) for v in schema["enum"])
        yield Cause(UNSUPPORTED, f"Unsupported value: {json.dumps(value)}: supported values: {allowed}", path)
    if schema.get("x-quantity") and not QUANTITY.fullmatch(str(value)):
        text = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        yield Cause(UNREADABLE, text, path)
    if given in CHECKS:
        yield from CHECKS[given](value, schema, path)


def _mistyped(wanted: str, given: str, path: str) -> Mistyped:
    return Mistyped(TYPE, f'Invalid value: "{given}": {path} in body must be of type {wanted}: "{given}"', path, wanted, given)


def expected(schema: Schema) -> str:
    return "int-or-string" if schema.get("x-kubernetes-int-or-string") else str(schema.get("type", ""))


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    types = {"number": int | float, "int-or-string": int | str, "string": str, "object": dict, "array": list}
    return kind in types and isinstance(value, types[kind])


def kind_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array", type(None): "null"}
    return names[type(value)]


def _string(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxLength", len(value)):
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {schema['maxLength']} bytes", path)
    if len(value) < schema.get("minLength", 0):
        yield _invalid(value, path, f"should be at least {schema['minLength']} chars long")
    if "pattern" in schema and not pattern(schema["pattern"]).search(value):
        yield _invalid(value, path, f"should match '{schema['pattern']}'")
    if schema.get("format") == "byte" and (problem := _base64_problem(value)):
        yield Cause(UNREADABLE, problem, path)
    if schema.get("format") == "date-time" and not _is_time(value):
        yield _mistyped("date-time", value, path)


def _base64_problem(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        known = re.match(r"[A-Za-z0-9+/]*={0,2}", text)
        return f"illegal base64 data at input byte {known.end() if known else 0}"
    return ""


@cache
def pattern(text: str) -> re.Pattern[str]:
    """In Kubernetes' expressions `$` is the end of the text; Python's also matches before a last line break."""
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", text.replace(r"\z", r"\Z")))


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _number(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    if value < schema.get("minimum", value):
        yield _invalid(value, path, f"should be greater than or equal to {schema['minimum']}")
    if value > schema.get("maximum", value):
        yield _invalid(value, path, f"should be less than or equal to {schema['maximum']}")
    bits = RANGES.get(schema.get("format", ""))
    if bits and not -(1 << bits) <= value < 1 << bits:
        yield _invalid(value, path, f'must be of type {schema["format"]}: "{value}"')


def _invalid(value: Any, path: str, text: str) -> Cause:
    return Cause(INVALID, f"Invalid value: {json.dumps(value)}: {path} in body {text}", path)


def _object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    for name in schema.get("required", ()):
        if name not in value:
            yield Cause(REQUIRED, "Required value", f"{path}.{name}" if path else name)
    yield from _too_many(value, schema.get("maxProperties"), path)
    if len(value) < (least := schema.get("minProperties", 0)):
        yield _invalid(value, path, f"should have at least {least} properties")
    for name, item in value.items():
        yield from check(item, child(schema, name) or ANY, f"{path}.{name}" if path else name)


def _list(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    yield from _too_many(value, schema.get("maxItems"), path)
    for i, item in enumerate(value):
        yield from check(item, schema.get("items", ANY), f"{path}[{i}]")
    yield from _duplicates(value, schema, path)


def _too_many(value: Sized, most: int | None, path: str) -> Iterator[Cause]:
    if most is not None and len(value) > most:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items", path)


def _duplicates(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("map", "set"):
        return
    seen: set[str] = set()
    for i, item in enumerate(value):
        if kind == "map" and not isinstance(item, dict):
            continue
        known = dict(zip(schema["x-kubernetes-list-map-keys"], key(schema, item))) if kind == "map" else item
        text = json.dumps(known, sort_keys=True, separators=(",", ":"))
        if text in seen:
            yield Cause(DUPLICATE, f"Duplicate value: {text}", f"{path}[{i}]")
        seen.add(text)


CHECKS: dict[str, Callable[[Any, Schema, str], Iterator[Cause]]] = {
    "string": _string, "integer": _number, "number": _number, "object": _object, "array": _list,
}  # fmt: skip
