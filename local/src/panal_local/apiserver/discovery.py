"""What there is to be had: /version, /api, /apis, the lists of resources, and the aggregated form for clients that ask for it."""

from __future__ import annotations

import base64
import hashlib
import platform
from typing import Any

from panal_local.apiserver.errors import NotServed
from panal_local.apiserver.kinds import VERBS, Registry, Resource, version_order

Object = dict[str, Any]
VERSION = "v1.34.0-panal"
REVIEWS = {
    ("authentication.k8s.io", "v1"): (("selfsubjectreviews", "SelfSubjectReview", False), ("tokenreviews", "TokenReview", False)),
    ("authorization.k8s.io", "v1"): (
        ("localsubjectaccessreviews", "LocalSubjectAccessReview", True),
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
        ("subjectaccessreviews", "SubjectAccessReview", False),
    ),
}
SUBRESOURCES = {
    "status": ("", ("get", "patch", "update")),
    "scale": ("Scale", ("get", "patch", "update")),
    "finalize": ("", ("update",)),
    "approval": ("", ("get", "patch", "update")),
    "log": ("", ("get",)),
    "binding": ("Binding", ("create",)),
    "token": ("TokenRequest", ("create",)),
}
FOREIGN = {"Scale": ("autoscaling", "v1"), "TokenRequest": ("authentication.k8s.io", "v1"), "Binding": ("", "v1")}


def version() -> Object:
    minor = VERSION.split(".")[1]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    nothing = {"gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z"}
    return {
        "major": "1",
        "minor": minor,
        "gitVersion": VERSION,
        **nothing,
        "goVersion": "none",
        "compiler": f"Python {platform.python_version()}",
        "platform": f"linux/{machine}",
    }


def core(address: str) -> Object:
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def _groups(registry: Registry) -> dict[str, list[str]]:
    return {**registry.groups(), **{group: [version] for group, version in REVIEWS}}


def groups(registry: Registry) -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g, v) for g, v in _groups(registry).items()]}


def _group(name: str, versions: list[str]) -> Object:
    every = [{"groupVersion": f"{name}/{v}", "version": v} for v in sorted(versions, key=version_order)]
    return {"name": name, "versions": every, "preferredVersion": every[0]}


def group(registry: Registry, name: str) -> Object:
    found = _groups(registry)
    if name not in found:
        raise NotServed
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, found[name])}


def resources(registry: Registry, group: str, version: str) -> Object:
    found = registry.of_version(group, version)
    reviews = REVIEWS.get((group, version), ())
    if not found and not reviews:
        raise NotServed
    named = [entry for r in sorted(found, key=lambda r: r.plural) for entry in _entries(r)]
    asked = [{"name": p, "singularName": k.lower(), "namespaced": n, "kind": k, "verbs": ["create"]} for p, k, n in reviews]
    api_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": [*named, *asked]}


def _entries(r: Resource) -> list[Object]:
    entry: Object = {"name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind}
    entry["verbs"] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"] if r.custom else sorted(VERBS)
    if r.short:
        entry["shortNames"] = list(r.short)
    if r.categories:
        entry["categories"] = list(r.categories)
    entry["storageVersionHash"] = base64.b64encode(hashlib.sha256(f"{r.stored} {r.stored_api_version}".encode()).digest()[:8]).decode()
    return [entry, *(_sub(r, s) for s in r.subresources if s in SUBRESOURCES)]


def _sub(r: Resource, name: str) -> Object:
    kind, verbs = SUBRESOURCES[name]
    foreign = FOREIGN.get(kind)
    more = {"group": foreign[0], "version": foreign[1]} if foreign and foreign[0] else {}
    return {
        "name": f"{r.plural}/{name}",
        "singularName": "",
        "namespaced": r.namespaced,
        **more,
        "kind": kind or r.kind,
        "verbs": list(verbs),
    }


# --- aggregated ---------------------------------------------------------------------------------------------------
def aggregated(registry: Registry, named: bool) -> Object:
    """All in one answer: of the core group, or of all named ones."""
    found = _groups(registry) if named else {"": ["v1"]}
    items = [
        {
            "metadata": {"name": g, "creationTimestamp": None} if g else {"creationTimestamp": None},
            "versions": [_version(registry, g, v) for v in versions],
        }
        for g, versions in found.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _version(registry: Registry, group: str, version: str) -> Object:
    listed = resources(registry, group, version)["resources"]
    found = []
    for entry in (e for e in listed if "/" not in e["name"]):
        subs = [_aggregated_sub(e, group, version) for e in listed if e["name"].startswith(f"{entry['name']}/")]
        found.append(
            {
                "resource": entry["name"],
                "responseKind": {"group": group, "version": version, "kind": entry["kind"]},
                "scope": "Namespaced" if entry["namespaced"] else "Cluster",
                "singularResource": entry["singularName"],
                "verbs": entry["verbs"],
                **{k: entry[k] for k in ("shortNames", "categories") if k in entry},
                **({"subresources": subs} if subs else {}),
            }
        )
    return {"version": version, "resources": found, "freshness": "Current"}


def _aggregated_sub(entry: Object, group: str, version: str) -> Object:
    kind = {"group": entry.get("group", group), "version": entry.get("version", version), "kind": entry["kind"]}
    return {"subresource": entry["name"].partition("/")[2], "responseKind": kind, "verbs": entry["verbs"]}
