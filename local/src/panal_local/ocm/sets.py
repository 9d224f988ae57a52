"""Cluster sets: the two that every hub has, what is said of them, and where they are bound. Who is in one, `panal.placement` knows.

The local platform comes bound: a namespace gets a binding to the set `default` once, unless it is one of Kubernetes', of Open Cluster
Management's or of a managed cluster. Whoever deletes the binding is rid of it.
"""

from __future__ import annotations

from typing import Any

from panal.kube.objects import Object, labels_of
from panal_local.ocm.clusters import NAME_LABEL
from panal_local.ocm.conditions import Condition, said

DEFAULT = "default"
API = "cluster.open-cluster-management.io/v1beta2"
OURS: dict[str, dict[str, Any]] = {
    DEFAULT: {"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}},
    "global": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}},
}
BOUND = "panal.local/default-set-bound"  # a namespace's annotation
SYSTEM = ("kube-", "open-cluster-management")


def default_set(name: str) -> Object:
    return {"apiVersion": API, "kind": "ManagedClusterSet", "metadata": {"name": name}, "spec": OURS[name]}


def emptiness(count: int) -> Condition:
    if count:
        return said("ClusterSetEmpty", False, "ClustersSelected", f"{count} ManagedClusters selected")
    return said("ClusterSetEmpty", True, "NoClusterMatched", "No ManagedCluster selected")


def boundness(found: bool) -> Condition:
    return said("Bound", True, "ClusterSetBound") if found else said("Bound", False, "ClusterSetNotFound")


def to_be_bound(namespace: Object) -> bool:
    metadata = namespace["metadata"]
    if metadata.get("deletionTimestamp") or NAME_LABEL in labels_of(namespace) or BOUND in (metadata.get("annotations") or {}):
        return False
    return not str(metadata["name"]).startswith(SYSTEM)


def binding(namespace: str) -> Object:
    metadata = {"name": DEFAULT, "namespace": namespace}
    return {"apiVersion": API, "kind": "ManagedClusterSetBinding", "metadata": metadata, "spec": {"clusterSet": DEFAULT}}
