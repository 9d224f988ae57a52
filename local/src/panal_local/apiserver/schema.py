"""Structural schemas: what an object may hold. `prune` drops what it may not, `default` adds what is left out, `validate` tells problems.

Schemas are plain OpenAPI v3 dicts with Kubernetes' extensions, those of CRDs as they were written and those of built-in kinds as
`builtin` makes them. The words of a problem are Kubernetes' own: people and programs read them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from panal_local.apiserver.errors import DUPLICATE, INVALID, REQUIRED, TYPE, UNSUPPORTED, Cause

Schema = dict[str, Any]
ANY: Schema = {"x-kubernetes-preserve-unknown-fields": True}
IDENTITY = ("apiVersion", "kind", "metadata")
RANGES = {"int32": 31, "int64": 63}


def key(schema: Schema, item: dict[str, Any]) -> tuple[Any, ...]:
    """The values by which an item of a list of type map is known; a key left out has its default."""
    properties = schema.get("items", {}).get("properties", {})
    return tuple(item.get(k, properties.get(k, {}).get("default")) for k in schema["x-kubernetes-list-map-keys"])


def child(schema: Schema, name: str) -> Schema | None:
    """The schema of a field; None if the field is not known. Maps know every name."""
    found: Schema | None = schema.get("properties", {}).get(name)
    if found is not None:
        return found
    rest = schema.get("additionalProperties")
    if rest is True or (rest is None and schema.get("x-kubernetes-preserve-unknown-fields")):
        return ANY
    return rest if isinstance(rest, dict) else None


# --- pruning ------------------------------------------------------------------------------------------------------
def prune(value: Any, schema: Schema, path: str = "", root: bool = False) -> list[str]:
    """Drops unknown fields from `value` itself; returns their paths. `root`: apiVersion, kind and metadata are known."""
    if isinstance(value, dict):
        return [p for name in list(value) for p in _prune_field(value, name, schema, path, root)]
    if isinstance(value, list) and "items" in schema:
        return [p for i, item in enumerate(value) for p in prune(item, schema["items"], f"{path}[{i}]")]
    return []


def _prune_field(value: dict[str, Any], name: str, schema: Schema, path: str, root: bool) -> list[str]:
    here = f"{path}.{name}" if path else name
    if (root or schema.get("x-kubernetes-embedded-resource")) and name in IDENTITY:
        return []
    known = child(schema, name)
    if known is None:
        del value[name]
        return [here]
    return prune(value[name], known, here)


# --- defaulting ---------------------------------------------------------------------------------------------------
def default(value: Any, schema: Schema, nulls: bool = False) -> None:
    """Adds defaults to `value` itself. A null where null is not allowed counts as left out; with `nulls`, only if there is a default."""
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, known in properties.items():
            _default_field(value, name, known, nulls)
        if isinstance(rest, dict):
            for name in value.keys() - properties.keys():
                default(value[name], rest, nulls)
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            default(item, schema["items"], nulls)


def _default_field(value: dict[str, Any], name: str, known: Schema, nulls: bool) -> None:
    if name in value and value[name] is None and not nullable(known) and not (nulls and "default" not in known):
        del value[name]
    if name not in value and "default" in known:
        value[name] = copy.deepcopy(known["default"])
    if name in value:
        default(value[name], known, nulls)


def nullable(schema: Schema) -> bool:
    return bool(schema.get("nullable") or not expected(schema))


# --- validation ---------------------------------------------------------------------------------------------------
def validate(value: Any, schema: Schema, path: str = "", status: bool = True) -> Iterator[Cause]:
    """`status` false leaves a field of that name at the top alone."""
    if value is None:
        if not schema.get("nullable") and (kind := expected(schema)):
            yield Cause(TYPE, f'Invalid value: "null": {path} in body must be of type {kind}: "null"', path)
        return
    kind = expected(schema)
    if kind and not fits(value, kind):
        yield Cause(TYPE, f'Invalid value: "{kind_of(value)}": {path} in body must be of type {kind}: "{kind_of(value)}"', path)
        return
    yield from _enum(value, schema, path)
    if isinstance(value, str):
        yield from _string(value, schema, path)
    elif isinstance(value, dict):
        yield from _object(value, schema, path, status)
    elif isinstance(value, list):
        yield from _list(value, schema, path)
    elif not isinstance(value, bool):
        yield from _number(value, schema, path)
    yield from _combined(value, schema, path)


def expected(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    return str(schema.get("type", ""))


def fits(value: Any, kind: str) -> bool:
    if kind == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "int-or-string":
        return isinstance(value, int | str) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "object": dict, "array": list}.get(kind, object))


def kind_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array", type(None): "null"}
    return names[type(value)]


def _enum(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(json.dumps(v) for v in schema["enum"])
        yield Cause(UNSUPPORTED, f"Unsupported value: {json.dumps(value)}: supported values: {allowed}", path)


def _string(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    length = len(value)
    if length > schema.get("maxLength", length):
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {schema['maxLength']} bytes", path)
    if length < schema.get("minLength", 0):
        yield _wrong(value, path, f"should be at least {schema['minLength']} chars long")
    if "pattern" in schema and not pattern(schema["pattern"]).search(value):
        yield _wrong(value, path, f"should match '{schema['pattern']}'")
    if schema.get("format") == "date-time" and not _is_time(value):
        yield Cause(TYPE, f'Invalid value: "{value}": {path} in body must be of type date-time: "{value}"', path)


@cache
def pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace(r"\z", r"\Z").replace("[[:alpha:]]", "[A-Za-z]"))


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _number(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value <= low if schema.get("exclusiveMinimum") else value < low):
        yield _wrong(value, path, f"should be greater than {'' if schema.get('exclusiveMinimum') else 'or equal to '}{low}")
    if high is not None and (value >= high if schema.get("exclusiveMaximum") else value > high):
        yield _wrong(value, path, f"should be less than {'' if schema.get('exclusiveMaximum') else 'or equal to '}{high}")
    if "multipleOf" in schema and value % schema["multipleOf"]:
        yield _wrong(value, path, f"should be a multiple of {schema['multipleOf']}")
    bits = RANGES.get(schema.get("format", ""))
    if bits and not -(1 << bits) <= value < 1 << bits:
        yield _wrong(value, path, f'must be of type {schema["format"]}: "{value}"', verb="")


def _wrong(value: Any, path: str, text: str, verb: str = "") -> Cause:
    return Cause(INVALID, f"Invalid value: {json.dumps(value)}: {path} in body {verb}{text}", path)


def _object(value: dict[str, Any], schema: Schema, path: str, status: bool) -> Iterator[Cause]:
    for name in schema.get("required", ()):
        if name not in value:
            yield Cause(REQUIRED, "Required value", f"{path}.{name}" if path else name)
    if len(value) > schema.get("maxProperties", len(value)):
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {schema['maxProperties']} items", path)
    if len(value) < schema.get("minProperties", 0):
        yield _wrong(len(value), path, f"should have at least {schema['minProperties']} properties")
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            if status or name != "status":
                yield from validate(item, properties[name], f"{path}.{name}" if path else name)
        elif isinstance(rest, dict):
            yield from validate(item, rest, f"{path}.{name}" if path else name)


def _list(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxItems", len(value)):
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {schema['maxItems']} items", path)
    if len(value) < schema.get("minItems", 0):
        yield _wrong(len(value), path, f"should have at least {schema['minItems']} items")
    for i, item in enumerate(value):
        yield from validate(item, schema.get("items", {}), f"{path}[{i}]")
    yield from _duplicates(value, schema, path)


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


def _combined(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    for part in schema.get("allOf", ()):
        yield from validate(value, part, path)
    if "anyOf" in schema and not any(_holds(value, part) for part in schema["anyOf"]):
        yield Cause(INVALID, f"Invalid value: {json.dumps(value)}: {path} in body must validate at least one schema (anyOf)", path)
    if "oneOf" in schema and sum(_holds(value, part) for part in schema["oneOf"]) != 1:
        yield Cause(INVALID, f"Invalid value: {json.dumps(value)}: {path} in body must validate one and only one schema (oneOf)", path)
    if "not" in schema and _holds(value, schema["not"]):
        yield Cause(INVALID, f"Invalid value: {json.dumps(value)}: {path} in body must not validate the schema (not)", path)


def _holds(value: Any, schema: Schema) -> bool:
    return not any(True for _ in validate(value, schema))


def check(value: Any, schema: Schema, status: bool) -> Sequence[Cause]:
    return tuple(validate(value, schema, "", status))
