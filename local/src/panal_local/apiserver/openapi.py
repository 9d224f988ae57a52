"""/openapi/v3: the schemas, by group and version, as far as kubectl needs them: explain, apply, and checks before sending."""

from __future__ import annotations

import hashlib
from typing import Any

from panal_local.apiserver.errors import NotServed
from panal_local.apiserver.kinds import Registry, Resource
from panal_local.apiserver.store import encode

Object = dict[str, Any]


def index(registry: Registry) -> Object:
    paths = {}
    for group, version in sorted({(r.group, r.version) for r in registry.all()}):
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        mark = hashlib.sha256(f"{registry.changed} {path}".encode()).hexdigest()[:32].upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> bytes:
    found = registry.of_version(group, version)
    if not found:
        raise NotServed
    return encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes API of panal's local platform", "version": "v1"},
            "paths": {path: item for r in found for path, item in _paths(r).items()},
            "components": {"schemas": {_name(r): _schema(r) for r in found}},
        }
    )


def _name(r: Resource) -> str:
    group = ".".join(reversed(r.group.split("."))) if r.group else "io.k8s.api.core"
    return f"{group}.{r.version}.{r.kind}"


def _schema(r: Resource) -> Object:
    gvk = {"group": r.group, "kind": r.kind, "version": r.version}
    return {**_public(r.schema), "x-kubernetes-group-version-kind": [gvk]}


def _public(schema: Any) -> Any:
    """Without what is only of use inside."""
    if isinstance(schema, dict):
        found = {k: _public(v) for k, v in schema.items() if k != "x-quantity"}
        if found.get("x-kubernetes-int-or-string") is True and "type" not in found and "oneOf" not in found and "anyOf" not in found:
            found["oneOf"] = [{"type": "integer"}, {"type": "string"}]
        return found
    return [_public(v) for v in schema] if isinstance(schema, list) else schema


def _paths(r: Resource) -> Object:
    gvk = {"group": r.group, "kind": r.kind, "version": r.version}
    ref = {"$ref": f"#/components/schemas/{_name(r)}"}
    query = [{"name": n, "in": "query", "schema": {"type": "string"}} for n in ("dryRun", "fieldManager", "fieldValidation")]

    def operation(action: str, body: bool) -> Object:
        content = {"application/json": {"schema": ref}}
        found: Object = {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "responses": {"200": {"description": "OK", "content": content}},
        }
        return found | ({"parameters": query, "requestBody": {"content": content}} if body else {})

    every = {"get": operation("list", False), "post": operation("post", True)}
    one = {
        "get": operation("get", False),
        "put": operation("put", True),
        "patch": operation("patch", True),
        "delete": operation("delete", False),
    }
    path = r.path("{namespace}" if r.namespaced else "")
    return {path: every, f"{path}/{{name}}": one}
