"""Admission: what becomes of an object before it is kept. Pruned, read as its kind, defaulted, owned, filled in, checked."""

from __future__ import annotations

import re
from typing import Any

from panal.kube.times import Now, to_time
from panal_local.apiserver import apply, checks, custom, defaults, errors, requests
from panal_local.apiserver.apply import Manager
from panal_local.apiserver.defaults import Setting
from panal_local.apiserver.errors import FORBIDDEN, INVALID, REQUIRED, Cause
from panal_local.apiserver.kinds import Resource
from panal_local.apiserver.requests import Call
from panal_local.apiserver.schema import Schema, check, default, prune
from panal_local.apiserver.store import Store

Object = dict[str, Any]
STANDARD = ("orphan", "foregroundDeletion", "kubernetes")
BLOCKING = (errors.TYPE, REQUIRED, "FieldValueNotSupported", "FieldValueTooMany", "FieldValueTooLong")  # of rules in CEL


class Admission:
    def __init__(self, store: Store, clock: Now) -> None:
        self._store = store
        self._clock = clock

    def admit(self, call: Call, obj: Object, old: Object | None, manager: Manager | None = None) -> list[str]:
        """Changes `obj` itself to what is kept; 400 and 422 for what may not be. With `manager`, says what it owns. Returns warnings."""
        resource, schema = call.resource, call.resource.schema
        warnings = self._prune(call, obj) + _finalizer_warnings(resource, obj)
        self._metadata_types(call, obj)
        if not resource.custom:
            self._decode(resource, obj)
        default(obj, schema, nulls=manager is None)  # of apply alone nulls are kept, and refused
        if not resource.custom:
            defaults.plain(obj)
        if manager:
            apply.updated(old, obj, schema, manager, to_time(self._clock()), resource.custom)
        if not resource.custom:
            defaults.fill(obj, Setting(self._store, call.user, old))
        tidy(obj["metadata"])
        causes = self._causes(resource, obj, old)
        if causes:
            raise errors.invalid(resource.group, resource.kind, str(obj["metadata"].get("name", "")), causes)
        if resource.kind == "CustomResourceDefinition":
            custom.served(obj, to_time(self._clock()))
        return warnings

    def _prune(self, call: Call, obj: Object) -> list[str]:
        unknown = [f'unknown field "{path}"' for path in prune(obj, call.resource.schema, "", root=not call.resource.custom)]
        if unknown and call.validation == "Strict":
            raise requests.cannot_be(call.resource, f"strict decoding error: {', '.join(unknown)}")
        return unknown if call.validation == "Warn" else []

    def _metadata_types(self, call: Call, obj: Object) -> None:
        defaults.coerce(obj["metadata"], call.resource.schema["properties"]["metadata"])
        known = call.resource.schema["properties"]["metadata"]
        wrong = check(obj["metadata"], known, status=True)
        if wrong:
            raise requests.cannot_be(call.resource, _go_problem("ObjectMeta.metadata", known, wrong[0]))

    def _decode(self, resource: Resource, obj: Object) -> None:
        """What the real server cannot even read into its types is refused with 400, before it is looked at."""
        defaults.coerce(obj, resource.schema)
        for cause in check(obj, resource.schema, status=True):
            if cause.reason == errors.TYPE:
                raise requests.cannot_be(resource, _go_problem(resource.kind, resource.schema, cause))
        if why := checks.undecodable(obj, resource.schema):
            raise requests.cannot_be(resource, why)
        if resource.kind == "CustomResourceDefinition":
            if why := custom.malformed(obj):
                raise requests.cannot_be(resource, why)
            custom.fill(obj)

    def _causes(self, resource: Resource, obj: Object, old: Object | None) -> list[Cause]:
        found = list(checks.metadata(obj, resource.kind, resource.custom)) + _finalizers(obj, old) * (2 if resource.custom else 1)
        if not resource.custom:
            found += [c for c in check(obj, resource.schema, status=False) if c.reason not in (errors.TYPE, errors.DUPLICATE)]
            if not found:
                found += checks.of_kind(obj, old)
            if resource.kind == "CustomResourceDefinition" and not found:
                found += custom.check(obj)
            return found
        wrong = [
            c for c in check({k: v for k, v in obj.items() if k != "metadata"}, resource.schema, status=True) if not _same(c, obj, old)
        ]
        if resource.rules and not found and not wrong:
            return list(custom.rules(obj, old, resource.schema))
        blocked = any(c.reason in BLOCKING for c in wrong)
        if resource.rules and (blocked or (found and any(c.reason == REQUIRED for c in found))):
            told = (
                "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
            )
            wrong.append(Cause(INVALID, f"Invalid value: null: {told}", "<nil>"))
        return found + wrong


def _go_problem(of: str, schema: Schema, cause: Cause) -> str:
    """As Go's decoder says it."""
    given = cause.message.rpartition(": ")[2].strip('"')
    wanted = cause.message.partition("must be of type ")[2].partition(":")[0]
    names, known = [], schema
    for name in re.sub(r"\[\d+\]", "", cause.field).split("."):
        if "properties" not in known:
            break  # keys of maps are not told
        names.append(name)
        known = known["properties"].get(name, {})
        known = known.get("items", known)
    given = {"integer": "number", "boolean": "bool"}.get(given, given)
    wanted = {"integer": "int32", "boolean": "bool", "array": "[]string", "object": "map[string]string"}.get(wanted, wanted)
    return f"json: cannot unmarshal {given} into Go struct field {of}.{'.'.join(names)} of type {wanted}"


def _finalizer_warnings(resource: Resource, obj: Object) -> list[str]:
    found = obj["metadata"].get("finalizers")
    if not resource.custom or not isinstance(found, list):
        return []
    told = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    return [f'metadata.finalizers: "{f}": {told}' for f in found if isinstance(f, str) and "/" not in f and f not in STANDARD]


def tidy(metadata: Object) -> None:
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in metadata and not metadata[name]:
            del metadata[name]


def _finalizers(obj: Object, old: Object | None) -> list[Cause]:
    if old is None or not old["metadata"].get("deletionTimestamp"):
        return []
    before = old["metadata"].get("finalizers") or []
    new = [f for f in obj["metadata"].get("finalizers") or () if f not in before]
    shown = ", ".join(f'"{f}"' for f in new)
    told = f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
    return [Cause(FORBIDDEN, told, "metadata.finalizers")] if new else []


def _same(cause: Cause, obj: Object, old: Object | None) -> bool:
    """Whether what is wrong there was so before: it is not held against an update."""
    if old is None:
        return False
    path = cause.field.replace("[", ".[").split(".") if cause.field else []
    if cause.reason == REQUIRED:
        path = path[:-1]
    after: Any = obj
    before: Any = old
    for name in path:
        after, before = _step(after, name), _step(before, name)
    return after is not None and bool(path) and after == before


def _step(value: Any, name: str) -> Any:
    if name.startswith("[") and isinstance(value, list):
        index = int(name[1:-1])
        return value[index] if index < len(value) else None
    return value.get(name) if isinstance(value, dict) else None
