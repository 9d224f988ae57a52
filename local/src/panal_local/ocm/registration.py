"""The status that the agent of a managed cluster reports: conditions, version, resources and claims."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from panal.kube.objects import Object, conditions_of, holds
from panal_local.ocm.clusters import ACCEPTED, AVAILABLE
from panal_local.ocm.conditions import merge_conditions, new_condition

JOINED = new_condition("ManagedClusterJoined", True, "ManagedClusterJoined", "Managed cluster joined")
IS_AVAILABLE = new_condition(AVAILABLE, True, "ManagedClusterAvailable", "Managed cluster is available")


def managed_cluster(name: str, lease_seconds: int) -> Object:
    """The ManagedCluster as its agent creates it; the hub has to accept it."""
    spec = {"hubAcceptsClient": False, "leaseDurationSeconds": lease_seconds}
    return {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster", "metadata": {"name": name}, "spec": spec}


def available(cluster: Object, version: str, nodes: Iterable[Object], claims: Iterable[Object], now: datetime) -> Object:
    """The status to report; empty for a cluster that the hub has not accepted. A cluster of the platform has one node. Resources that
    others wrote into the capacity stay."""
    if not holds(cluster, ACCEPTED):
        return {}
    node: Object = next(iter(nodes), {}).get("status") or {}
    capacity = {**((cluster.get("status") or {}).get("capacity") or {}), **(node.get("capacity") or {})}
    return {
        "conditions": merge_conditions(conditions_of(cluster), [JOINED, IS_AVAILABLE], now),
        "version": {"kubernetes": version},
        "capacity": capacity or None,
        "allocatable": node.get("allocatable") or None,
        "clusterClaims": _exposed(claims) or None,
    }


def _exposed(claims: Iterable[Object]) -> list[dict[str, Any]]:
    values = {c["metadata"]["name"]: (c.get("spec") or {}).get("value", "") for c in claims}
    return [{"name": name, "value": values[name]} for name in sorted(values)]
