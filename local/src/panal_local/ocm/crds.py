"""The CustomResourceDefinitions of Open Cluster Management's kinds: `hub()` and `spoke()`.

The fields that users write are checked: clusters, sets, bindings, claims, Placements, and where an add-on is installed. Other fields are
written by programs, which are tested on real hubs. Lists with several writers have keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from panal.api.placements import LABEL_KEY, PLACEMENT, LabelSelector
from panal.api.schema import Schema, structural

CLUSTER = "cluster.open-cluster-management.io"
WORK = "work.open-cluster-management.io"
ADDON = "addon.open-cluster-management.io"
AGE = ("Age", "date", ".metadata.creationTimestamp")


# --- schemas -------------------------------------------------------------------------------------------------------------
def text(**more: Any) -> Schema:
    return {"type": "string"} | more


def record(*required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def items(item: Schema, *keys: str) -> Schema:
    """A list; with `keys`, of type map."""
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)} if keys else {}
    return {"type": "array", "items": item} | keyed


OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
STATUS = record(conditions=items(record("type", type=text()) | OPEN, "type")) | OPEN
TAINT = record(
    *("effect", "key"),
    key=text(maxLength=316, pattern=LABEL_KEY),
    value=text(maxLength=1024),
    effect=text(enum=["NoSelect", "PreferNoSelect", "NoSelectIfNew"]),
    timeAdded=text(format="date-time", nullable=True),
)
CLUSTER_SPEC = (
    record(
        hubAcceptsClient={"type": "boolean"},
        leaseDurationSeconds={"type": "integer", "format": "int32", "default": 60},
        taints=items(TAINT),
    )
    | OPEN
)
BY_LABEL = "ExclusiveClusterSetLabel"
SELECTOR = record(
    selectorType=text(enum=[BY_LABEL, "LabelSelector"], default=BY_LABEL),
    labelSelector=structural(LabelSelector) | {"x-kubernetes-map-type": "atomic"},
) | {"default": {"selectorType": BY_LABEL}}
SET_SPEC = record(clusterSelector=SELECTOR) | OPEN | {"default": {"clusterSelector": {"selectorType": BY_LABEL}}}
MANIFEST = OPEN | {"x-kubernetes-embedded-resource": True}
WORK_SPEC = record(workload=record(manifests=items(MANIFEST))) | OPEN
GROUP = text(default="")
INSTALL = record(
    type=text(enum=["Manual", "Placements"], default="Manual"),
    placements=items(record("name", "namespace", namespace=text(minLength=1), name=text(minLength=1)) | OPEN, "namespace", "name"),
) | {"default": {"type": "Manual"}}
ADDON_SPEC = (
    record(
        supportedConfigs=items(record("resource", group=GROUP, resource=text(minLength=1)) | OPEN, "group", "resource"),
        installStrategy=INSTALL,
    )
    | OPEN
)


# --- kinds ---------------------------------------------------------------------------------------------------------------
def _condition(column: str, condition: str, what: str = "status") -> tuple[str, str, str]:
    return column, "string", f'.status.conditions[?(@.type=="{condition}")].{what}'


@dataclass(frozen=True, slots=True)
class Definition:
    """`columns` are those of `kubectl get`: name, type, JSONPath."""

    kind: str
    group: str
    version: str
    plural: str
    spec: Schema = field(default_factory=lambda: OPEN)
    namespaced: bool = True
    status: bool = True
    short: tuple[str, ...] = ()
    columns: tuple[tuple[str, str, str], ...] = ()

    def crd(self) -> Schema:
        names = {"kind": self.kind, "listKind": f"{self.kind}List", "plural": self.plural, "singular": self.kind.lower()}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{self.group}"},
            "spec": {
                "group": self.group,
                "names": names | ({"shortNames": list(self.short)} if self.short else {}),
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "versions": [self._version()],
            },
        }

    def _version(self) -> dict[str, Any]:
        version: dict[str, Any] = {"name": self.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": self._schema()}}
        if self.status:
            version["subresources"] = {"status": {}}
        if self.columns:
            version["additionalPrinterColumns"] = [{"name": n, "type": t, "jsonPath": p} for n, t, p in self.columns]
        return version

    def _schema(self) -> Schema:
        parts = {"spec": self.spec} | ({"status": STATUS} if self.status else {})
        return record(apiVersion=text(), kind=text(), metadata={"type": "object"}, **parts)


HUB = (
    Definition(
        *("ManagedClusterSet", CLUSTER, "v1beta2", "managedclustersets", SET_SPEC),
        namespaced=False,
        short=("mclset", "mclsets"),
        columns=(_condition("Empty", "ClusterSetEmpty"), AGE),
    ),
    Definition(
        *("ManagedClusterSetBinding", CLUSTER, "v1beta2", "managedclustersetbindings", record(clusterSet=text(minLength=1))),
        short=("mclsetbinding", "mclsetbindings"),
    ),
    Definition(
        *("Placement", CLUSTER, "v1beta1", "placements", PLACEMENT),
        columns=(
            _condition("Succeeded", "PlacementSatisfied"),
            _condition("Reason", "PlacementSatisfied", "reason"),
            ("SelectedClusters", "integer", ".status.numberOfSelectedClusters"),
        ),
    ),
    Definition("PlacementDecision", CLUSTER, "v1beta1", "placementdecisions"),
    Definition("AddOnPlacementScore", CLUSTER, "v1alpha1", "addonplacementscores"),
    Definition("ManifestWork", WORK, "v1", "manifestworks", WORK_SPEC),
    Definition(
        *("ClusterManagementAddOn", ADDON, "v1alpha1", "clustermanagementaddons", ADDON_SPEC),
        namespaced=False,
        short=("cma", "cmas"),
        columns=(("DISPLAY NAME", "string", ".spec.addOnMeta.displayName"), ("CRD NAME", "string", ".spec.addOnConfiguration.crdName")),
    ),
    Definition(
        *("ManagedClusterAddOn", ADDON, "v1alpha1", "managedclusteraddons"),
        short=("mca", "mcas"),
        columns=tuple(_condition(name, name) for name in ("Available", "Degraded", "Progressing")),
    ),
    Definition("AddOnDeploymentConfig", ADDON, "v1alpha1", "addondeploymentconfigs", status=False),
    # Last: an agent starts when it can create its ManagedCluster, and needs all other kinds then.
    Definition(
        *("ManagedCluster", CLUSTER, "v1", "managedclusters", CLUSTER_SPEC),
        namespaced=False,
        short=("mcl", "mcls"),
        columns=(
            ("Hub Accepted", "boolean", ".spec.hubAcceptsClient"),
            ("Managed Cluster URLs", "string", ".spec.managedClusterClientConfigs[*].url"),
            _condition("Joined", "ManagedClusterJoined"),
            _condition("Available", "ManagedClusterConditionAvailable"),
            AGE,
        ),
    ),
)
CLAIM = record(value=text(minLength=1, maxLength=1024))
SPOKE = (
    Definition("ClusterClaim", CLUSTER, "v1alpha1", "clusterclaims", CLAIM, namespaced=False, status=False),
    Definition("AppliedManifestWork", WORK, "v1", "appliedmanifestworks", namespaced=False),
)


@cache
def hub() -> Sequence[Schema]:
    return [definition.crd() for definition in HUB]


@cache
def spoke() -> Sequence[Schema]:
    return [definition.crd() for definition in SPOKE]
