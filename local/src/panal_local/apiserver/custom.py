"""CustomResourceDefinitions: whether one is fit, what it serves, and what rules in CEL say of its objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from panal_local.apiserver import cel
from panal_local.apiserver.cel import ABSENT
from panal_local.apiserver.errors import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, Cause
from panal_local.apiserver.kinds import AGE, NAME, Column, Resource
from panal_local.apiserver.schema import ANY, Schema, child, key, kind_of, pattern

Object = dict[str, Any]
TYPES = {"object", "array", "string", "integer", "number", "boolean"}


# --- what is served -----------------------------------------------------------------------------------------------
def resources(crd: Object) -> list[Resource]:
    spec, names = crd["spec"], crd["spec"]["names"]
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    return [_resource(spec, names, v, storage) for v in spec["versions"] if v.get("served")]


def _resource(spec: Object, names: Object, version: Object, storage: str) -> Resource:
    sub = version.get("subresources") or {}
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    columns = [
        Column(c["name"], c["type"], c["jsonPath"], c.get("description", ""), c.get("priority", 0), c.get("format", ""))
        for c in version.get("additionalPrinterColumns") or ()
    ]
    return Resource(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(),
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(s for s in ("status", "scale") if s in sub),
        columns=(NAME, *(columns or (AGE,))),
        custom=True,
        storage_version=storage,
        list_kind=names.get("listKind") or f"{names['kind']}List",
        scale=sub.get("scale") or {},
        given=lambda: with_metadata(schema),
    )


def with_metadata(schema: Schema) -> Schema:
    """Metadata is as for every object; limits that the CRD sets on its name are kept."""
    from panal_local.apiserver.builtin import schema_of

    metadata = schema_of("core_v1", "ConfigMap")["properties"]["metadata"]
    identity = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata}
    given = schema.get("properties", {})
    described = {
        k: {**identity[k], **({"description": given[k]["description"]} if "description" in given.get(k, {}) else {})} for k in identity
    }
    return {"type": "object", **schema, "properties": {**described, **{k: v for k, v in given.items() if k not in identity}}}


def served(crd: Object, time: str) -> None:
    """The status of a CRD that is accepted: served at once."""
    spec, old = crd["spec"], (crd.get("status") or {}).get("conditions") or []
    known = {c["type"]: c for c in old}
    conditions = [
        {"lastTransitionTime": time, "message": "no conflicts found", "reason": "NoConflicts", "status": "True", "type": "NamesAccepted"},
        {
            "lastTransitionTime": time,
            "message": "the initial names have been accepted",
            "reason": "InitialNamesAccepted",
            "status": "True",
            "type": "Established",
        },
    ]
    kept = [known.get(str(c["type"]), c) for c in conditions]
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    stored = (crd.get("status") or {}).get("storedVersions") or []
    names = {k: v for k, v in spec["names"].items() if v}
    crd["status"] = {
        "acceptedNames": names,
        "conditions": kept,
        "storedVersions": [*stored, *([storage] if storage not in stored else [])],
    }


def fill(crd: Object) -> None:
    names = crd.get("spec", {}).get("names")
    if isinstance(names, dict) and names.get("kind"):
        names.setdefault("singular", str(names["kind"]).lower())
        names.setdefault("listKind", f"{names['kind']}List")


# --- whether a CRD is fit -----------------------------------------------------------------------------------------
TEXT, NUMBER, TRUTH, TEXTS, MAP, LIST = "text", "a number", "a truth value", "a list of texts", "an object", "a list"
KEYWORDS = {
    **dict.fromkeys(("type", "format", "pattern", "description", "x-kubernetes-list-type", "x-kubernetes-map-type"), TEXT),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), NUMBER),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), NUMBER),
    **dict.fromkeys(("nullable", "exclusiveMinimum", "exclusiveMaximum", "uniqueItems"), TRUTH),
    **dict.fromkeys(("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"), TRUTH),
    **dict.fromkeys(("required", "x-kubernetes-list-map-keys"), TEXTS),
    **dict.fromkeys(("enum", "allOf", "anyOf", "oneOf", "x-kubernetes-validations"), LIST),
    **dict.fromkeys(("properties", "items", "not"), MAP),
}
RULE = {"rule": TEXT, "message": TEXT, "messageExpression": TEXT, "reason": TEXT, "fieldPath": TEXT, "optionalOldSelf": TRUTH}


def malformed(crd: Object) -> str:
    """What of its schemas is not even of the form of a schema; empty if nothing is."""
    versions = (crd.get("spec") or {}).get("versions") or []
    found = ((v.get("schema") or {}).get("openAPIV3Schema") for v in versions)
    return next((why for schema in found if schema is not None and (why := _malformed(schema, "openAPIV3Schema"))), "")


def _is(value: Any, kind: str) -> bool:
    if kind == TEXTS:
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    if kind == NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {TEXT: str, TRUTH: bool, MAP: dict, LIST: list}[kind])


def _malformed(schema: Any, path: str) -> str:
    if not isinstance(schema, dict):
        return f"{path} is not an object"
    for name, kind in KEYWORDS.items():
        if name in schema and not _is(schema[name], kind):
            return f"{path}.{name} is not {kind}"
    for rule in schema.get("x-kubernetes-validations", ()):
        if not isinstance(rule, dict) or any(n in rule and not _is(rule[n], k) for n, k in RULE.items()):
            return f"{path}.x-kubernetes-validations is not a list of rules"
    if why := _bad_pattern(schema, path):
        return why
    inner = [*schema.get("properties", {}).items(), *(("items", schema[n]) for n in ("items", "not") if n in schema)]
    inner += [(name, part) for name in ("allOf", "anyOf", "oneOf") for part in schema.get(name, ())]
    if not isinstance(schema.get("additionalProperties", True), bool):
        inner.append(("additionalProperties", schema["additionalProperties"]))
    return next((why for name, part in inner if (why := _malformed(part, f"{path}.{name}"))), "")


def _bad_pattern(schema: Schema, path: str) -> str:
    try:
        pattern(schema.get("pattern", ""))
    except re.error as error:
        return f"{path}.pattern: {error}"
    return ""


# --- its structure -----------------------------------------------------------------------------------------
def check(crd: Object) -> Iterator[Cause]:
    spec = crd["spec"]
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    if crd["metadata"].get("name") != wanted:
        text = f'Invalid value: {json.dumps(crd["metadata"].get("name", ""))}: must be spec.names.plural+"."+spec.group'
        yield Cause(INVALID, text, "metadata.name")
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        text = f'Unsupported value: {json.dumps(spec.get("scope", ""))}: supported values: "Cluster", "Namespaced"'
        yield Cause("FieldValueNotSupported", text, "spec.scope")
    if (spec.get("conversion") or {}).get("strategy", "None") != "None":
        yield Cause(FORBIDDEN, "Forbidden: the local platform has no conversion webhooks; use strategy None", "spec.conversion.strategy")
    if sum(1 for v in versions if v.get("storage")) != 1:
        text = 'Invalid value: "object": must have exactly one version marked as storage version'
        yield Cause(INVALID, text, "spec.versions")
    if len({v.get("name") for v in versions}) != len(versions):
        yield Cause(INVALID, 'Invalid value: "object": must contain unique version names', "spec.versions")
    for i, version in enumerate(versions):
        path = f"spec.versions[{i}].schema" if len(versions) > 1 else "spec.validation"
        yield from _version(version, f"{path}.openAPIV3Schema")


def _version(version: Object, path: str) -> Iterator[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if not isinstance(schema, dict):
        yield Cause(REQUIRED, "Required value: schemas are required", path)
        return
    if schema.get("type") != "object":
        yield Cause(INVALID, f"Invalid value: {json.dumps(schema.get('type', ''))}: must be object at the root", f"{path}.type")
    yield from _structural(schema, path)


def _structural(schema: Any, path: str) -> Iterator[Cause]:
    if not isinstance(schema, dict):
        return
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not free and schema.get("type") not in TYPES:
        if schema.get("type"):
            supported = ", ".join(f'"{t}"' for t in sorted(TYPES))
            yield Cause("FieldValueNotSupported", f'Unsupported value: "{schema["type"]}": supported values: {supported}', f"{path}.type")
        else:
            yield Cause(REQUIRED, "Required value: must not be empty for specified object fields", f"{path}.type")
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield Cause(REQUIRED, "Required value: must be specified", f"{path}.items")
    if "properties" in schema and "additionalProperties" in schema:
        yield Cause(FORBIDDEN, "Forbidden: additionalProperties and properties are mutual exclusive", f"{path}.additionalProperties")
    if schema.get("x-kubernetes-list-type") == "map":
        yield from _list_keys(schema, path)
    yield from _compiles(schema, path)
    for name, part in (schema.get("properties") or {}).items():
        yield from _structural(part, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        yield from _structural(schema.get(name), f"{path}.{name}")


def _list_keys(schema: Schema, path: str) -> Iterator[Cause]:
    items = schema.get("items") or {}
    if not schema.get("x-kubernetes-list-map-keys"):
        text = "Required value: must not be empty if x-kubernetes-list-type is map"
        yield Cause(REQUIRED, text, f"{path}.x-kubernetes-list-map-keys")
    for i, name in enumerate(schema.get("x-kubernetes-list-map-keys") or ()):
        part = (items.get("properties") or {}).get(name)
        if part is None:
            text = f"Invalid value: {json.dumps(name)}: entries must all be names of item properties"
            yield Cause(INVALID, text, f"{path}.x-kubernetes-list-map-keys[{i}]")
        elif name not in (items.get("required") or ()) and "default" not in part:
            text = "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield Cause(REQUIRED, text, f"{path}.items.properties[{name}].default")


def _compiles(schema: Schema, path: str) -> Iterator[Cause]:
    for i, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        here = f"{path}.x-kubernetes-validations[{i}]"
        if not str(rule.get("rule", "")).strip():
            yield Cause(REQUIRED, "Required value: rule is not specified", f"{here}.rule")
            continue
        for name in ("rule", "messageExpression"):
            try:
                if rule.get(name):
                    cel.program(rule[name], bool(rule.get("optionalOldSelf")))
            except cel.RuleError as error:
                yield Cause(INVALID, f"Invalid value: {json.dumps(rule[name])}: compilation failed: {error}", f"{here}.{name}")


# --- what its rules say -------------------------------------------------------------------------------------------
def rules(new: Object, old: Object | None, schema: Schema) -> Iterator[Cause]:
    return _rules(_as_seen(new), ABSENT if old is None else _as_seen(old), schema, "")


def _as_seen(obj: Object) -> Object:
    """At the root a rule sees of metadata the names alone."""
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k in ("name", "generateName")}}


def _rules(new: Any, old: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if "x-kubernetes-validations" in schema and new is not None:
        yield from _here(new, old, schema, path)
    if isinstance(new, dict):
        for name, item in new.items():
            before = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
            yield from _rules(item, before, child(schema, name) or ANY, f"{path}.{name}" if path else name)
    elif isinstance(new, list) and "items" in schema:
        before = _by_key(old, schema)
        for i, item in enumerate(new):
            former = before.get(key(schema, item), ABSENT) if before and isinstance(item, dict) else ABSENT
            yield from _rules(item, former, schema["items"], f"{path}[{i}]")


def _by_key(old: Any, schema: Schema) -> dict[Any, Any]:
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return {}
    return {key(schema, item): item for item in old if isinstance(item, dict)}


def _here(new: Any, old: Any, schema: Schema, path: str) -> Iterator[Cause]:
    value, before = cel.typed(new, schema), ABSENT if old is ABSENT else cel.typed(old, schema)
    for rule in schema["x-kubernetes-validations"]:
        transition, optional = "oldSelf" in rule["rule"], bool(rule.get("optionalOldSelf"))
        if transition and before is ABSENT and not optional:
            continue
        if not transition and before is not ABSENT and new == old:
            continue  # was there before: what has not changed is not held against an update
        where = (path or "<nil>") if not rule.get("fieldPath") else f"{path}{rule['fieldPath']}".removeprefix(".")
        told = rule.get("message") or f"failed rule: {rule['rule'].strip()}"
        try:
            if cel.evaluate(rule["rule"], value, before, optional) is True:
                continue
            if rule.get("messageExpression"):
                told = _message(rule, value, before, optional) or told
        except cel.RuleError as error:
            told = f"{_plainly(error)} evaluating rule: {told}"
        reason = rule.get("reason") or INVALID
        words = {FORBIDDEN: "Forbidden", REQUIRED: "Required value"}.get(reason, f'Invalid value: "{kind_of(new)}"')
        words = f'Duplicate value: "{kind_of(new)}"' if reason == DUPLICATE else words
        yield Cause(reason, words if reason == DUPLICATE else f"{words}: {told}", where)


def _message(rule: Object, value: Any, before: Any, optional: bool) -> str:
    try:
        found = cel.evaluate(rule["messageExpression"], value, before, optional)
    except cel.RuleError:
        return ""
    return found.strip() if isinstance(found, str) else ""


def _plainly(error: cel.RuleError) -> str:
    text = str(error)
    return f"no such key: {text.rsplit(': ', 1)[-1].strip(chr(34))}" if "Key not found" in text else text


__all__ = ["DUPLICATE", "check", "fill", "resources", "rules", "served"]
