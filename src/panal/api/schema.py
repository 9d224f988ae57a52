"""Converts a pydantic model to a structural schema for a CustomResourceDefinition.

Pydantic describes a model in JSON Schema with `$defs`, titles and `anyOf: [X, null]`; an API server accepts none of them. This module
inlines or drops them, and keeps everything named `x-kubernetes-*`, which models define in `json_schema_extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetPydanticSchema
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

Schema = dict[str, Any]

DROPPED = frozenset({"title", "$defs", "$ref", "anyOf"})


class Model(BaseModel):
    """Base of every type of the resource: camelCase on the wire, frozen, unknown fields ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


def rule(expression: str, message: str, **more: Any) -> Schema:
    """One entry of `x-kubernetes-validations`; `message` names the field and the remedy."""
    return {"rule": expression, "message": message, **more}


def kept_as_json(model: type[BaseModel]) -> GetPydanticSchema:
    """Annotates a field that the parser keeps as JSON. The parser validates the value against `model`, and errors name its fields."""

    def keep(value: Any, check: core_schema.ValidatorFunctionWrapHandler) -> Any:
        check(value)
        return value

    return GetPydanticSchema(lambda _, handler: core_schema.no_info_wrap_validator_function(keep, handler(model)))


def structural(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The structural schema of `model`. A status has no `defaults`: a field that is absent there is not known yet. A default of `""` is
    dropped, since it means that the value may be absent."""
    raw = model.model_json_schema(by_alias=True)
    return _clean(raw, raw.get("$defs", {}), lambda value: defaults and value not in (None, ""))


def _clean(node: Mapping[str, Any], definitions: Mapping[str, Schema], defaults: Callable[[Any], bool]) -> Schema:
    node = _resolve(node, definitions)
    keep = {k: v for k, v in node.items() if k not in DROPPED and (k != "default" or defaults(v))}
    if node.get("x-kubernetes-int-or-string"):
        return keep | {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if "properties" in node:
        keep["properties"] = {name: _clean(child, definitions, defaults) for name, child in node["properties"].items()}
    if "items" in node:
        keep["items"] = _clean(node["items"], definitions, defaults)
    if node.get("type") == "integer":
        keep.setdefault("format", "int64")
    return _clean_map(keep, definitions, defaults)


def _clean_map(node: Schema, definitions: Mapping[str, Schema], defaults: Callable[[Any], bool]) -> Schema:
    values = node.pop("additionalProperties", None)
    if isinstance(values, Mapping):
        node["additionalProperties"] = _clean(values, definitions, defaults)
    elif values:
        node["x-kubernetes-preserve-unknown-fields"] = True
    return node


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Schema:
    """Resolves `$ref`, and `anyOf` where it only allows null; keys beside them take precedence."""
    resolved = dict(node)
    if "$ref" in node:
        resolved = _resolve(definitions[node["$ref"].rsplit("/", 1)[1]], definitions) | resolved
    present = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    if len(present) == 1 and not node.get("x-kubernetes-int-or-string"):
        resolved = _resolve(present[0], definitions) | resolved
    return resolved
