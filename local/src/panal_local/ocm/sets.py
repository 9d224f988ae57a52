"""Cluster sets: the two default sets, the conditions of sets and bindings, and the default bindings. `panal.placement` has the members.

Each namespace gets a binding to the set `default` once, except those of Kubernetes, Open Cluster Management and managed clusters. A binding
that a user deletes is not created again.
"""

from __future__ import annotations

from typing import Any

from panal.kube.objects import Object, labels_of
from panal_local.ocm.clusters import NAME_LABEL
from panal_local.ocm.conditions import Condition, new_condition

DEFAULT = "default"
API = "cluster.open-cluster-management.io/v1beta2"
DEFAULT_SETS: dict[str, dict[str, Any]] = {
    DEFAULT: {"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}},
    "global": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}},
}
BOUND = "panal.local/default-set-bound"  # a namespace's annotation
SYSTEM = ("kube-", "open-cluster-management")


def default_set(name: str) -> Object:
    return {"apiVersion": API, "kind": "ManagedClusterSet", "metadata": {"name": name}, "spec": DEFAULT_SETS[name]}


def empty_condition(count: int) -> Condition:
    if count:
        return new_condition("ClusterSetEmpty", False, "ClustersSelected", f"{count} ManagedClusters selected")
    return new_condition("ClusterSetEmpty", True, "NoClusterMatched", "No ManagedCluster selected")


def bound_condition(found: bool) -> Condition:
    return new_condition("Bound", True, "ClusterSetBound") if found else new_condition("Bound", False, "ClusterSetNotFound")


def needs_binding(namespace: Object) -> bool:
    metadata = namespace["metadata"]
    if metadata.get("deletionTimestamp") or NAME_LABEL in labels_of(namespace) or BOUND in (metadata.get("annotations") or {}):
        return False
    return not str(metadata["name"]).startswith(SYSTEM)


def binding(namespace: str) -> Object:
    metadata = {"name": DEFAULT, "namespace": namespace}
    return {"apiVersion": API, "kind": "ManagedClusterSetBinding", "metadata": metadata, "spec": {"clusterSet": DEFAULT}}
