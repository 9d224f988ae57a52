"""What a managed cluster's agent tells the hub about its cluster: that it joined, that it lives, its version, resources and claims."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Any

from panal.kube.objects import Object, conditions_of, holds
from panal_local.ocm.clusters import ACCEPTED, AVAILABLE
from panal_local.ocm.conditions import merged, said
from panal_local.quantity import exact

JOINED = said("ManagedClusterJoined", True, "ManagedClusterJoined", "Managed cluster joined")
LIVES = said(AVAILABLE, True, "ManagedClusterAvailable", "Managed cluster is available")


def managed_cluster(name: str, lease_seconds: int) -> Object:
    """As the agent makes it; the hub has to accept it."""
    spec = {"hubAcceptsClient": False, "leaseDurationSeconds": lease_seconds}
    return {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster", "metadata": {"name": name}, "spec": spec}


def available(cluster: Object, version: str, nodes: Iterable[Object], claims: Iterable[Object], now: datetime) -> Object:
    """Resources that no node has are kept where others wrote them into the capacity."""
    if not holds(cluster, ACCEPTED):
        return {}
    nodes = list(nodes)
    open_nodes = [n for n in nodes if not (n.get("spec") or {}).get("unschedulable")]
    capacity = {**((cluster.get("status") or {}).get("capacity") or {}), **_total(nodes, "capacity")}
    return {
        "conditions": merged(conditions_of(cluster), [JOINED, LIVES], now),
        "version": {"kubernetes": version},
        "capacity": capacity or None,
        "allocatable": _total(open_nodes, "allocatable") or None,
        "clusterClaims": _exposed(claims) or None,
    }


def _total(nodes: Iterable[Object], part: str) -> dict[str, str]:
    """What one node alone has is written as there."""
    amounts: dict[str, list[str]] = {}
    for node in nodes:
        for name, amount in ((node.get("status") or {}).get(part) or {}).items():
            amounts.setdefault(name, []).append(str(amount))
    return {name: found[0] if len(found) == 1 else _sum(found) for name, found in sorted(amounts.items())}


def _sum(amounts: Iterable[str]) -> str:
    total = sum(map(exact, amounts), Fraction())
    return str(total) if total.denominator == 1 else f"{math.ceil(total * 1000)}m"


def _exposed(claims: Iterable[Object]) -> list[dict[str, Any]]:
    values = {c["metadata"]["name"]: (c.get("spec") or {}).get("value", "") for c in claims}
    return [{"name": name, "value": values[name]} for name in sorted(values)]
