"""The CRDs of Open Cluster Management's kinds are valid for an API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from panal_local.ocm import crds

CRDS = [*crds.hub(), *crds.spoke()]
ALLOWED = {
    "additionalProperties", "anyOf", "default", "description", "enum", "format", "items", "maxItems", "maxLength", "maximum", "minItems",
    "minLength", "minimum", "nullable", "pattern", "properties", "required", "type", "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
}  # fmt: skip


def schema_of(kind: str) -> dict[str, Any]:
    crd = next(c for c in CRDS if c["spec"]["names"]["kind"] == kind)
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


def at(kind: str, path: str) -> dict[str, Any]:
    return dict(nodes(schema_of(kind)))[path]


@pytest.mark.parametrize("crd", CRDS, ids=lambda crd: crd["metadata"]["name"])
def test_every_schema_is_structural(crd: dict[str, Any]) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, node in nodes(schema):
        assert node.keys() <= ALLOWED, path
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), f"{path} has no type"


@pytest.mark.parametrize("crd", CRDS, ids=lambda crd: crd["metadata"]["name"])
def test_keys_of_lists_are_required_or_have_a_default(crd: dict[str, Any]) -> None:
    for path, node in nodes(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
        for key in node.get("x-kubernetes-list-map-keys", ()):
            item = node["items"]
            assert key in item.get("required", ()) or "default" in item["properties"][key], f"{path}: {key}"


@pytest.mark.parametrize(
    ("kind", "path", "default"),
    [
        ("ManagedCluster", ".spec.leaseDurationSeconds", 60),
        ("ManagedClusterSet", ".spec", {"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}}),
        ("ClusterManagementAddOn", ".spec.installStrategy", {"type": "Manual"}),
        ("ClusterManagementAddOn", ".spec.supportedConfigs[].group", ""),
    ],
)
def test_defaults(kind: str, path: str, default: Any) -> None:
    assert at(kind, path)["default"] == default


def test_manifests_are_not_changed() -> None:
    manifest = at("ManifestWork", ".spec.workload.manifests[]")
    assert manifest["x-kubernetes-preserve-unknown-fields"] is manifest["x-kubernetes-embedded-resource"] is True


def test_kinds_with_the_subresource_status() -> None:
    without = {c["spec"]["names"]["kind"] for c in CRDS if "subresources" not in c["spec"]["versions"][0]}
    assert without == {"ClusterClaim", "AddOnDeploymentConfig"}


@pytest.mark.parametrize("kind", ["ManagedCluster", "Placement", "ManifestWork", "ManagedClusterAddOn"])
def test_conditions_are_lists_of_type_map(kind: str) -> None:
    assert at(kind, ".status.conditions")["x-kubernetes-list-map-keys"] == ["type"]


def test_the_fields_of_a_cluster_are_checked() -> None:
    assert at("ManagedCluster", ".spec.taints[]")["required"] == ["effect", "key"]
    assert at("ManagedCluster", ".spec.taints[].effect")["enum"] == ["NoSelect", "PreferNoSelect", "NoSelectIfNew"]
    assert at("ClusterClaim", ".spec.value")["maxLength"] == 1024
    assert at("Placement", ".spec.predicates[].requiredClusterSelector.labelSelector.matchExpressions[].operator")["enum"]
