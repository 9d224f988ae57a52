"""Generates invalid specs of a FederatedLearning from the schema. Each has one mistake; together they have every mistake in every field.

A case has a valid spec around the wrong value, and the path by which a message must name the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from panal.api.crd import crd

Schema = Mapping[str, Any]
SPEC: Schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
ITEM, KEY = "[0]", "key"  # steps into a list and into a map
VALID = {"server": {"image": "a:1"}, "client": {"image": "a:1"}}

GOOD_TEXTS = ("a", "aa", "1Gi", "10%", "https://a.example.com", "pvc://a/b.safetensors", f"sha256:{0:064}")
BAD_TEXTS = ("", "-", "a b", "a\n", "ä", "0", "../a", "a/b", "a..b")
OF_TYPES: Mapping[str, tuple[Any, ...]] = {
    "string": (7, {}),
    "integer": ("7", 1.5),
    "number": ("7", {}),
    "boolean": ("true", 1),
    "array": ("a", {}),
    "object": ("a", []),
    "int-or-string": (True, 1.5),
}


@dataclass(frozen=True, slots=True)
class Bad:
    """`path` is that of the wrong field. `unknown`: a field that is not in the schema, which only a strict client has refused."""

    path: str
    what: str
    spec: dict[str, Any]
    unknown: bool = False

    @property
    def id(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """`value` replaces that of a field; the message names the field, or `below` it."""

    what: str
    value: Any
    below: str = ""
    unknown: bool = False


def bad_specs() -> list[Bad]:
    return [bad for steps, schema in _fields(SPEC, ()) for bad in _cases(steps, schema)]


def _fields(schema: Schema, steps: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Every field below `schema`, with the steps that lead to it."""
    if steps:
        yield steps, schema
    for name, child in schema.get("properties", {}).items():
        yield from _fields(child, (*steps, name))
    if "items" in schema:
        yield from _fields(schema["items"], (*steps, ITEM))
    if "additionalProperties" in schema:
        yield from _fields(schema["additionalProperties"], (*steps, KEY))


def _cases(steps: tuple[str, ...], schema: Schema) -> Iterator[Bad]:
    path = "spec" + "".join(step if step == ITEM else f".{step}" for step in steps)
    for mistake in _mistakes(schema):
        yield Bad(path + mistake.below, mistake.what, _put(SPEC, VALID, steps, mistake.value), mistake.unknown)


def _put(schema: Schema, around: Any, steps: tuple[str, ...], value: Any) -> Any:
    """`around`, which is valid by `schema`, with `value` at the end of the steps."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == ITEM:
        return [_put(schema["items"], _valid(schema["items"]), rest, value)]
    if "minProperties" in schema:
        around = {}
    child = schema["properties"][step] if step in schema.get("properties", {}) else schema["additionalProperties"]
    return {**around, step: _put(child, around.get(step, _valid(child)), rest, value)}


def _valid(schema: Schema) -> Any:
    match _type(schema):
        case "string":
            return next(text for text in (*schema.get("enum", ()), *GOOD_TEXTS) if text and _matches(schema, text))
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "number":
            return schema.get("minimum", 1.0)
        case "boolean":
            return False
        case "array":
            return []
        case "object":
            needed = schema.get("required") or list(schema.get("properties", ()))[: schema.get("minProperties", 0)]
            return {name: _valid(schema["properties"][name]) for name in needed}
        case _:
            return 1


def _type(schema: Schema) -> str:
    return "int-or-string" if schema.get("x-kubernetes-int-or-string") else str(schema["type"])


def _matches(schema: Schema, text: str) -> bool:
    return "pattern" not in schema or re.fullmatch(schema["pattern"].rstrip("$"), text) is not None


def _mistakes(schema: Schema) -> Iterator[Mistake]:
    yield from (Mistake(f"{value!r} for {_type(schema)}", value) for value in OF_TYPES[_type(schema)])
    if "enum" in schema:
        yield from (Mistake(f"{text!r} is no choice", text) for text in ("Nonsense", schema["enum"][-1].lower()))
    if "pattern" in schema:
        yield from (Mistake(f"{text!r} does not match", text) for text in BAD_TEXTS if not _matches(schema, text))
    yield from _out_of_bounds(schema)
    if _type(schema) == "object":
        yield from _wrong_fields(schema)


def _out_of_bounds(schema: Schema) -> Iterator[Mistake]:
    if "minimum" in schema:
        yield from (Mistake(f"{low} is too low", low) for low in (schema["minimum"] - 1, -(2**63)))
    if "maximum" in schema:
        yield from (Mistake(f"{high} is too high", high) for high in (schema["maximum"] + 1, 2**63 - 1))
    elif _type(schema) == "integer":
        yield Mistake("more bits than the format", 2**31 if schema["format"] == "int32" else 2**63)
    if "minLength" in schema:
        yield Mistake("empty", "")
    if "maxLength" in schema:
        yield Mistake("too long", "a" * (schema["maxLength"] + 1))
    if "maxItems" in schema:
        yield Mistake("too many items", [_numbered(schema["items"], n) for n in range(schema["maxItems"] + 1)])
    if "minProperties" in schema:
        yield Mistake("too few fields", {})
    if "maxProperties" in schema:
        named = {name: _valid(child) for name, child in schema.get("properties", {}).items()}
        yield Mistake("too many keys", named or {f"k{n}": n for n in range(schema["maxProperties"] + 1)})
    if schema.get("x-kubernetes-list-type") == "map":
        yield Mistake("twice the same", [_numbered(schema["items"], 1)] * 2, "[1]")


def _numbered(items: Schema, number: int) -> Any:
    valid = _valid(items)
    return valid | {"name": f"a{number}"} if "name" in items.get("properties", {}) else valid


def _wrong_fields(schema: Schema) -> Iterator[Mistake]:
    valid = _valid(schema)
    for name in schema.get("required", ()):
        yield Mistake(f"without {name}", {key: value for key, value in valid.items() if key != name}, f".{name}")
        yield Mistake(f"{name} is null", valid | {name: None}, f".{name}")
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        yield Mistake("unknown field", valid | {"nonsense": 1}, ".nonsense", unknown=True)
