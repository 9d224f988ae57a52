"""CustomResourceDefinitions: checks them, and creates the resources that they define."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from panal_local import cel
from panal_local.apiserver import rules
from panal_local.apiserver.builtin import schema_of
from panal_local.apiserver.errors import FORBIDDEN, INVALID, REQUIRED, UNSUPPORTED, Cause
from panal_local.apiserver.kinds import AGE, NAME, Column, Resource
from panal_local.apiserver.schema import Schema, pattern

Object = dict[str, Any]
KIND = "CustomResourceDefinition"
TYPES = ("array", "boolean", "integer", "number", "object", "string")


# --- resources ----------------------------------------------------------------------------------------------------
def resource(crd: Object) -> Resource:
    spec, names = crd["spec"], crd["spec"]["names"]
    (version,) = spec["versions"]
    columns = [
        Column(c["name"], c["type"], c["jsonPath"], c.get("priority", 0), c.get("format", ""))
        for c in version.get("additionalPrinterColumns") or ()
    ]
    return Resource(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names["singular"],
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=("status",) if "status" in (version.get("subresources") or {}) else (),
        columns=(NAME, *(columns or (AGE,))),
        custom=True,
        load_schema=lambda: _with_metadata(version["schema"]["openAPIV3Schema"]),
    )


def _with_metadata(schema: Schema) -> Schema:
    """Adds apiVersion, kind, and the schema of metadata, which is the same for all kinds."""
    metadata = schema_of("core_v1", "ConfigMap")["properties"]["metadata"]
    identity = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata}
    properties = schema.get("properties", {})
    return {**schema, "properties": {**properties, **{name: {**properties.get(name, {}), **known} for name, known in identity.items()}}}


def fill(crd: Object) -> None:
    names = (crd.get("spec") or {}).get("names") or {}
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")


def served(crd: Object, time: str) -> None:
    """Sets the status of an accepted CRD, which is served at once."""
    known = {c["type"]: c for c in (crd.get("status") or {}).get("conditions") or ()}
    reasons = {"NamesAccepted": "NoConflicts", "Established": "InitialNamesAccepted"}
    conditions = [{"lastTransitionTime": time, "message": "", "reason": r, "status": "True", "type": t} for t, r in reasons.items()]
    spec = crd["spec"]
    crd["status"] = {
        "acceptedNames": spec["names"],
        "conditions": [known.get(c["type"], c) for c in conditions],
        "storedVersions": [v["name"] for v in spec["versions"]],
    }


# --- checks -------------------------------------------------------------------------------------------------------
def check(crd: Object) -> Iterator[Cause]:
    spec = crd["spec"]
    names, versions = spec["names"], spec.get("versions") or []
    if crd["metadata"]["name"] != f"{names.get('plural')}.{spec.get('group')}":
        text = f'Invalid value: {json.dumps(crd["metadata"]["name"])}: must be spec.names.plural+"."+spec.group'
        yield Cause(INVALID, text, "metadata.name")
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        text = f'Unsupported value: {json.dumps(spec.get("scope", ""))}: supported values: "Cluster", "Namespaced"'
        yield Cause(UNSUPPORTED, text, "spec.scope")
    if (spec.get("conversion") or {}).get("strategy", "None") != "None":
        yield Cause(FORBIDDEN, "Forbidden: the local platform has no conversion webhooks; use strategy None", "spec.conversion.strategy")
    if len(versions) != 1 or not versions[0].get("storage") or not versions[0].get("served"):
        yield Cause(FORBIDDEN, "Forbidden: the local platform needs one version, which is served and stored", "spec.versions")
        return
    path, schema = "spec.validation.openAPIV3Schema", (versions[0].get("schema") or {}).get("openAPIV3Schema")
    if not isinstance(schema, dict):
        yield Cause(REQUIRED, "Required value: schemas are required", path)
        return
    try:
        yield from list(_structural(schema, path))
    except (AttributeError, TypeError, ValueError) as error:
        yield Cause(INVALID, f'Invalid value: "object": cannot be read as a schema: {error}', path)


def _structural(schema: Any, path: str) -> Iterator[Cause]:
    if not isinstance(schema, dict):
        yield Cause(INVALID, f"Invalid value: {json.dumps(schema)}: must be an object", path)
        return
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not free and schema.get("type") not in TYPES:
        supported = ", ".join(f'"{t}"' for t in TYPES)
        yield Cause(UNSUPPORTED, f"Unsupported value: {json.dumps(schema.get('type', ''))}: supported values: {supported}", f"{path}.type")
    yield from _usable(schema, path)
    for name, part in (schema.get("properties") or {}).items():
        yield from _structural(part, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if not isinstance(schema.get(name, True), bool):
            yield from _structural(schema[name], f"{path}.{name}")


def _usable(schema: Schema, path: str) -> Iterator[Cause]:
    """Checks the pattern and the rules."""
    try:
        pattern(schema.get("pattern", ""))
    except re.error as error:
        yield Cause(INVALID, f"Invalid value: {json.dumps(schema['pattern'])}: {error}", f"{path}.pattern")
    for i, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        try:
            rules.program(rule.get("rule", ""), bool(rule.get("optionalOldSelf")))
        except cel.CelError as error:
            text = f"Invalid value: {json.dumps(rule.get('rule', ''))}: compilation failed: {error}"
            yield Cause(INVALID, text, f"{path}.x-kubernetes-validations[{i}].rule")
