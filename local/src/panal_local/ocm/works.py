"""The manifests of a ManifestWork, with their options, and its AppliedManifestWork."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object

FINALIZER = "cluster.open-cluster-management.io/manifest-work-cleanup"
APPLIED_FINALIZER = "cluster.open-cluster-management.io/applied-manifest-work-cleanup"
API = "work.open-cluster-management.io/v1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest of a work. `kind` is None if the cluster does not serve it."""

    ordinal: int
    object: Object
    kind: Kind | None
    options: Mapping[str, Any]
    orphan: bool  # the work does not own the object, so it is not deleted with the work

    @property
    def meta(self) -> dict[str, Any]:
        group, _, version = str(self.object.get("apiVersion", "")).rpartition("/")
        return {
            "ordinal": self.ordinal,
            "group": group,
            "version": version,
            "kind": self.object.get("kind", ""),
            "resource": self.kind.plural if self.kind else "",
            "namespace": self.namespace,
            "name": self.name,
        }

    @property
    def name(self) -> str:
        return str((self.object.get("metadata") or {}).get("name", ""))

    @property
    def namespace(self) -> str:
        return str((self.object.get("metadata") or {}).get("namespace", ""))

    @property
    def strategy(self) -> str:
        return str((self.options.get("updateStrategy") or {}).get("type") or "Update")


def manifest(work: Object, ordinal: int, obj: Object, kind: Kind | None) -> Manifest:
    meta = obj.get("metadata") or {}
    where = (kind.group, kind.plural, meta.get("namespace", ""), meta.get("name", "")) if kind else ("", "", "", "")
    return Manifest(ordinal, obj, kind, _options(work, where), orphaned(work, *where))


def objects(work: Object) -> list[Object]:
    return ((work.get("spec") or {}).get("workload") or {}).get("manifests") or []


def has_pod(work: Object, pod: Key) -> bool:
    named = ((m.get("kind"), m.get("metadata") or {}) for m in objects(work))
    return any(kind == "Pod" and (meta.get("namespace"), meta.get("name")) == pod for kind, meta in named)


def _options(work: Object, where: tuple[str, str, str, str]) -> dict[str, Any]:
    """The options of a manifest: each from the first matching config that sets it."""
    options: dict[str, Any] = {}
    for config in (work.get("spec") or {}).get("manifestConfigs") or ():
        if _matches(config.get("resourceIdentifier") or {}, where):
            options = {k: v for k, v in config.items() if v} | options
    return options


def _matches(identifier: Mapping[str, Any], where: tuple[str, str, str, str]) -> bool:
    group, resource, namespace, name = where
    if not resource or (identifier.get("group") or "", identifier["resource"]) != (group, resource):
        return False
    return fnmatchcase(namespace, identifier.get("namespace") or "") and fnmatchcase(name, identifier["name"])


def orphaned(work: Object, group: str, resource: str, namespace: str, name: str) -> bool:
    option = (work.get("spec") or {}).get("deleteOption") or {}
    if option.get("propagationPolicy") == "Orphan":
        return True
    rules = (option.get("selectivelyOrphans") or {}).get("orphaningRules") or ()
    wanted = (group, resource, namespace, name)
    return option.get("propagationPolicy") == "SelectivelyOrphan" and any(
        (r.get("group") or "", r["resource"], r.get("namespace") or "", r["name"]) == wanted for r in rules
    )


# --- AppliedManifestWork --------------------------------------------------------------------------------------------------
def applied_name(hub_hash: str, work: str) -> str:
    return f"{hub_hash}-{work}"


def applied_work(work: Object, hub_hash: str) -> Object:
    name = work["metadata"]["name"]
    metadata = {"name": applied_name(hub_hash, name), "finalizers": [APPLIED_FINALIZER]}
    spec = {"hubHash": hub_hash, "agentID": hub_hash, "manifestWorkName": name}
    return {"apiVersion": API, "kind": "AppliedManifestWork", "metadata": metadata, "spec": spec}


def owner(applied: Object) -> dict[str, Any]:
    metadata = applied["metadata"]
    return {"apiVersion": API, "kind": "AppliedManifestWork", "name": metadata["name"], "uid": metadata["uid"]}


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """An applied object, as listed in status.appliedResources of an AppliedManifestWork."""

    group: str
    version: str
    resource: str
    namespace: str
    name: str
    uid: str

    @property
    def kind(self) -> Kind:
        return Kind(self.group, self.version, "", self.resource, bool(self.namespace))

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.group, self.resource, self.namespace, self.name

    def json(self) -> dict[str, str]:
        fields = ("group", "version", "resource", "namespace", "name", "uid")
        return {field: value for field in fields if (value := getattr(self, field)) or field == "group"}


def applied_resources(applied: Object) -> list[Resource]:
    listed = (applied.get("status") or {}).get("appliedResources") or ()
    return [
        Resource(r.get("group") or "", r["version"], r["resource"], r.get("namespace") or "", r["name"], r.get("uid") or "") for r in listed
    ]


def resource(manifest: Manifest, live: Object) -> Resource:
    meta = manifest.meta
    return Resource(meta["group"], meta["version"], meta["resource"], meta["namespace"], meta["name"], live["metadata"]["uid"])
