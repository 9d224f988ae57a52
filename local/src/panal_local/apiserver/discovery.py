"""API discovery: /version, /api, /apis, and the resources of each group and version."""

from __future__ import annotations

import platform
from typing import Any

from panal_local.apiserver.errors import NotServed
from panal_local.apiserver.kinds import Registry, Resource

Object = dict[str, Any]
VERSION = "v1.34.0-panal"
VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
# The kind that each subresource accepts, if it differs from the resource, and its verbs.
SUBRESOURCES: dict[str, tuple[Object, tuple[str, ...]]] = {
    "status": ({}, ("get", "patch", "update")),
    "finalize": ({}, ("update",)),
    "approval": ({}, ("get", "patch", "update")),
    "log": ({}, ("get",)),
    "binding": ({"kind": "Binding"}, ("create",)),
    "token": ({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}, ("create",)),
}


def version() -> Object:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {"major": "1", "minor": VERSION.split(".")[1], "gitVersion": VERSION, "platform": f"linux/{machine}"}


def core() -> Object:
    return {"kind": "APIVersions", "versions": ["v1"]}


def groups(registry: Registry) -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g, v) for g, v in registry.groups().items()]}


def _group(name: str, versions: list[str]) -> Object:
    every = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
    return {"name": name, "versions": every, "preferredVersion": every[0]}


def resources(registry: Registry, group: str, version: str) -> Object:
    found = registry.of_version(group, version)
    if not found:
        raise NotServed
    named = [entry for r in sorted(found, key=lambda r: r.plural) for entry in _entries(r)]
    api_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": named}


def _entries(r: Resource) -> list[Object]:
    own: Object = {"name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind, "verbs": VERBS}
    own |= {"shortNames": r.short, "categories": r.categories}
    return [own, *(_subresource(r, name) for name in r.subresources)]


def _subresource(r: Resource, name: str) -> Object:
    posted, verbs = SUBRESOURCES[name]
    return {"name": f"{r.plural}/{name}", "singularName": "", "namespaced": r.namespaced, "kind": r.kind, **posted, "verbs": verbs}
