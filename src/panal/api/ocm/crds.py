"""The CustomResourceDefinitions of Open Cluster Management's kinds, generated from their types: `hub()` and `spoke()`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from panal.api.ocm import addons, clusters, placing, works
from panal.api.schema import Schema, structural

CLUSTER = "cluster.open-cluster-management.io"
WORK = "work.open-cluster-management.io"
ADDON = "addon.open-cluster-management.io"
AGE = ("Age", "date", ".metadata.creationTimestamp")


def _condition(column: str, condition: str, what: str = "status") -> tuple[str, str, str]:
    return column, "string", f'.status.conditions[?(@.type=="{condition}")].{what}'


@dataclass(frozen=True, slots=True)
class Definition:
    """`columns` are what `kubectl get` shows: name, type, JSONPath."""

    model: type[BaseModel]
    group: str
    version: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    columns: tuple[tuple[str, str, str], ...] = ()

    def crd(self) -> Schema:
        kind = self.model.__name__
        names = {"kind": kind, "listKind": f"{kind}List", "plural": self.plural, "singular": kind.lower()}
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
        if "status" in self.model.model_fields:
            version["subresources"] = {"status": {}}
        if self.columns:
            version["additionalPrinterColumns"] = [{"name": n, "type": t, "jsonPath": p} for n, t, p in self.columns]
        return version

    def _schema(self) -> Schema:
        schema = structural(self.model, empty=self.group == ADDON)  # in this group, "" is a valid key of lists
        identity = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
        return schema | {"properties": identity | schema["properties"]}


HUB = (
    Definition(
        *(clusters.ManagedClusterSet, CLUSTER, "v1beta2", "managedclustersets", False, ("mclset", "mclsets")),
        (_condition("Empty", "ClusterSetEmpty"), AGE),
    ),
    Definition(
        *(clusters.ManagedClusterSetBinding, CLUSTER, "v1beta2", "managedclustersetbindings", True, ("mclsetbinding", "mclsetbindings")),
    ),
    Definition(
        *(placing.Placement, CLUSTER, "v1beta1", "placements", True, ()),
        (
            _condition("Succeeded", "PlacementSatisfied"),
            _condition("Reason", "PlacementSatisfied", "reason"),
            ("SelectedClusters", "integer", ".status.numberOfSelectedClusters"),
        ),
    ),
    Definition(placing.PlacementDecision, CLUSTER, "v1beta1", "placementdecisions"),
    Definition(placing.AddOnPlacementScore, CLUSTER, "v1alpha1", "addonplacementscores"),
    Definition(works.ManifestWork, WORK, "v1", "manifestworks"),
    Definition(
        *(addons.ClusterManagementAddOn, ADDON, "v1alpha1", "clustermanagementaddons", False, ("cma", "cmas")),
        (("DISPLAY NAME", "string", ".spec.addOnMeta.displayName"), ("CRD NAME", "string", ".spec.addOnConfiguration.crdName")),
    ),
    Definition(
        *(addons.ManagedClusterAddOn, ADDON, "v1alpha1", "managedclusteraddons", True, ("mca", "mcas")),
        tuple(_condition(name, name) for name in ("Available", "Degraded", "Progressing")),
    ),
    Definition(addons.AddOnDeploymentConfig, ADDON, "v1alpha1", "addondeploymentconfigs"),
    # The last one: an agent begins when it can make its ManagedCluster, and then finds all other kinds served.
    Definition(
        *(clusters.ManagedCluster, CLUSTER, "v1", "managedclusters", False, ("mcl", "mcls")),
        (
            ("Hub Accepted", "boolean", ".spec.hubAcceptsClient"),
            ("Managed Cluster URLs", "string", ".spec.managedClusterClientConfigs[*].url"),
            _condition("Joined", "ManagedClusterJoined"),
            _condition("Available", "ManagedClusterConditionAvailable"),
            AGE,
        ),
    ),
)
SPOKE = (
    Definition(clusters.ClusterClaim, CLUSTER, "v1alpha1", "clusterclaims", namespaced=False),
    Definition(works.AppliedManifestWork, WORK, "v1", "appliedmanifestworks", namespaced=False),
)


@cache
def hub() -> Sequence[Schema]:
    return [definition.crd() for definition in HUB]


@cache
def spoke() -> Sequence[Schema]:
    return [definition.crd() for definition in SPOKE]
