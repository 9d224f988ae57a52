"""/openapi/v3: the schemas by group and version, with what kubectl needs for explain, apply and client-side validation."""

from __future__ import annotations

import hashlib
from typing import Any

from panal_local.apiserver.errors import NotServed
from panal_local.apiserver.kinds import Registry, Resource

Object = dict[str, Any]


def index(registry: Registry) -> Object:
    paths = {}
    for group, version in sorted({(r.group, r.version) for r in registry.all()}):
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        mark = hashlib.sha256(f"{registry.changed} {path}".encode()).hexdigest()[:32].upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> Object:
    found = registry.of_version(group, version)
    if not found:
        raise NotServed
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes API of the local platform", "version": "v1"},
        "paths": {path: item for r in found for path, item in _paths(r).items()},
        "components": {"schemas": {_name(r): _schema(r) for r in found}},
    }


def _name(r: Resource) -> str:
    group = ".".join(reversed(r.group.split("."))) if r.group else "io.k8s.api.core"
    return f"{group}.{r.version}.{r.kind}"


def _schema(r: Resource) -> Object:
    gvk = {"group": r.group, "kind": r.kind, "version": r.version}
    return {**_public(r.schema), "x-kubernetes-group-version-kind": [gvk]}


def _public(schema: Any) -> Any:
    """The schema without internal extensions."""
    if isinstance(schema, dict):
        found = {k: _public(v) for k, v in schema.items() if k != "x-quantity"}
        if found.get("x-kubernetes-int-or-string") is True and "type" not in found and "oneOf" not in found and "anyOf" not in found:
            found["oneOf"] = [{"type": "integer"}, {"type": "string"}]
        return found
    return [_public(v) for v in schema] if isinstance(schema, list) else schema


def _paths(r: Resource) -> Object:
    """kubectl explain needs the operations that read, and kubectl apply the patches with the parameter `fieldValidation`."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_name(r)}"}}}
    operation = {
        "x-kubernetes-group-version-kind": {"group": r.group, "kind": r.kind, "version": r.version},
        "responses": {"200": {"description": "OK", "content": content}},
    }
    query = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("dryRun", "fieldManager", "fieldValidation")]
    change = {**operation, "x-kubernetes-action": "patch", "parameters": query, "requestBody": {"content": content}}
    path = r.path("{namespace}" if r.namespaced else "")
    read = [{**operation, "x-kubernetes-action": action} for action in ("list", "get")]
    return {path: {"get": read[0]}, f"{path}/{{name}}": {"get": read[1], "patch": change}}
