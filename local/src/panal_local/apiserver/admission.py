"""Admission: the steps of every write before the object is stored: prune, decode, default, check, record field ownership, fill in."""

from __future__ import annotations

import re
from typing import Any

from panal.kube.times import Now, to_time
from panal_local.apiserver import apply, checks, custom, defaults, errors, requests, rules
from panal_local.apiserver.apply import Manager
from panal_local.apiserver.errors import DUPLICATE, INVALID, REQUIRED, TYPE, Cause, Mistyped
from panal_local.apiserver.kinds import Resource
from panal_local.apiserver.requests import Call
from panal_local.apiserver.schema import UNREADABLE, Schema, check, default, prune
from panal_local.apiserver.store import Store

Object = dict[str, Any]
BLOCKING = (TYPE, REQUIRED, "FieldValueNotSupported", "FieldValueTooMany", "FieldValueTooLong")  # with these, CEL rules are not evaluated
UNCHECKED = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
# Go's names of types.
GIVEN = {"integer": "number", "boolean": "bool"}
WANTED = {"integer": "int32", "boolean": "bool", "array": "[]string", "object": "map[string]string"}


class Admission:
    def __init__(self, store: Store, clock: Now) -> None:
        self._store = store
        self._clock = clock

    def admit(self, call: Call, obj: Object, old: Object | None, manager: Manager | None) -> list[str]:
        """Changes `obj` in place to the object to store, and returns warnings. With `manager`, records the fields that it owns. Raises
        StatusError, 400 or 422, for an invalid object."""
        resource = call.resource
        warnings = self._prune(call, obj)
        _decode(resource, obj)
        default(obj, resource.schema)
        _refuse(resource, obj, _check_custom(resource, obj, old) if resource.custom else _check_builtin(resource, obj))
        if not resource.custom:
            defaults.plain(obj)
        if manager:
            apply.updated(old, obj, resource.schema, manager, to_time(self._clock()))
        if not resource.custom:
            defaults.fill(obj, self._store, call.user, old)
            _refuse(resource, obj, list(checks.of_kind(obj, old)))
        if resource.kind == custom.KIND:
            custom.served(obj, to_time(self._clock()))
        drop_empty_metadata(obj["metadata"])
        return warnings

    @staticmethod
    def _prune(call: Call, obj: Object) -> list[str]:
        unknown = [f'unknown field "{path}"' for path in prune(obj, call.resource.schema)]
        if unknown and call.validation == "Strict":
            raise requests.undecodable(call.resource, f"strict decoding error: {', '.join(unknown)}")
        return unknown if call.validation == "Warn" else []


def drop_empty_metadata(metadata: Object) -> None:
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in metadata and not metadata[name]:
            del metadata[name]


def _refuse(resource: Resource, obj: Object, causes: list[Cause]) -> None:
    if causes:
        raise errors.invalid(resource.group, resource.kind, str(obj["metadata"].get("name", "")), causes)


# --- types --------------------------------------------------------------------------------------------------------
def _decode(resource: Resource, obj: Object) -> None:
    """Refuses, with 400 and the messages of Go, what kube-apiserver cannot decode into its types: metadata and built-in kinds."""
    schema, value = resource.schema, obj
    if resource.custom:
        schema = {"type": "object", "properties": {"metadata": schema["properties"]["metadata"]}}
        value = {"metadata": obj["metadata"]}
    defaults.coerce(value, schema)
    for cause in check(value, schema):
        if isinstance(cause, Mistyped):
            raise requests.undecodable(resource, _go_message(resource, schema, cause))
        if cause.reason == UNREADABLE:
            raise requests.undecodable(resource, cause.message)
    if resource.kind == custom.KIND:
        custom.fill(obj)


def _go_message(resource: Resource, schema: Schema, cause: Mistyped) -> str:
    names = ["ObjectMeta" if cause.field.startswith("metadata") else resource.kind]
    for name in re.sub(r"\[\d+\]", "", cause.field).split("."):
        if "properties" not in schema:
            break  # Go does not name the keys of maps
        names.append(name)
        schema = schema["properties"].get(name, {})
        schema = schema.get("items", schema)
    given, wanted = GIVEN.get(cause.given, cause.given), WANTED.get(cause.wanted, cause.wanted)
    return f"json: cannot unmarshal {given} into Go struct field {'.'.join(names)} of type {wanted}"


# --- values -------------------------------------------------------------------------------------------------------
def _check_builtin(resource: Resource, obj: Object) -> list[Cause]:
    """Allows duplicate keys in lists, as kube-apiserver does."""
    found = [*checks.metadata(obj, resource.kind)]
    found += [cause for cause in check(obj, resource.schema) if cause.reason != DUPLICATE]
    return found or (list(custom.check(obj)) if resource.kind == custom.KIND else [])


def _check_custom(resource: Resource, obj: Object, old: Object | None) -> list[Cause]:
    found = [*checks.metadata(obj, "")]
    if wrong := [*check(_without_metadata(obj), resource.schema)]:
        before = {*check(_without_metadata(old), resource.schema)} if old else set()  # an update may keep values that were invalid before
        found += [cause for cause in wrong if cause not in before]
    if not found:
        return list(rules.check(obj, old, resource.schema))
    if "x-kubernetes-validations" in str(resource.schema) and any(cause.reason in BLOCKING for cause in found):
        found.append(Cause(INVALID, f"Invalid value: null: {UNCHECKED}", "<nil>"))
    return found


def _without_metadata(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key != "metadata"}
