"""What a managed cluster's agent tells the hub about its cluster: that it joined, that it lives, its version, resources and claims."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Any

from panal.kube.objects import Object, conditions_of, holds, labels_of
from panal.placement.quantity import NANO, Quantity, quantity
from panal_local.ocm.clusters import ACCEPTED, AVAILABLE
from panal_local.ocm.conditions import Condition, merged, said

MAX_CUSTOM_CLAIMS = 20
SPOKE_ONLY = "open-cluster-management.io/spoke-only"
RESERVED = (
    "id.k8s.io",
    "kubeversion.open-cluster-management.io",
    "platform.open-cluster-management.io",
    "product.open-cluster-management.io",
)
JOINED = said("ManagedClusterJoined", True, "ManagedClusterJoined", "Managed cluster joined")
LIVES = said(AVAILABLE, True, "ManagedClusterAvailable", "Managed cluster is available")


def managed_cluster(name: str, lease_seconds: int) -> Object:
    """As the agent makes it; the hub has to accept it."""
    spec = {"hubAcceptsClient": False, "leaseDurationSeconds": lease_seconds}
    return {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster", "metadata": {"name": name}, "spec": spec}


def joined(cluster: Object, now: datetime) -> Object:
    """The status of a cluster whose own API server does not answer, while that is not known to last; {} if it is not accepted."""
    return _with([JOINED], cluster, now) if holds(cluster, ACCEPTED) else {}


def unavailable(cluster: Object, problem: str, now: datetime) -> Object:
    message = f"The kube-apiserver is not ok, {problem}"
    dead = said(AVAILABLE, False, "ManagedClusterKubeAPIServerUnavailable", message)
    return _with([JOINED, dead], cluster, now) if holds(cluster, ACCEPTED) else {}


def available(cluster: Object, version: str, nodes: Iterable[Object], claims: Iterable[Object], now: datetime) -> Object:
    """Resources that no node has are kept where others wrote them into the capacity."""
    if not holds(cluster, ACCEPTED):
        return {}
    nodes = list(nodes)
    open_nodes = [n for n in nodes if not (n.get("spec") or {}).get("unschedulable")]
    capacity = {**((cluster.get("status") or {}).get("capacity") or {}), **_total(nodes, "capacity")}
    return _with([JOINED, LIVES], cluster, now) | {
        "version": {"kubernetes": version},
        "capacity": capacity or None,
        "allocatable": _total(open_nodes, "allocatable") or None,
        "clusterClaims": _exposed(claims) or None,
    }


def _with(news: list[Condition], cluster: Object, now: datetime) -> Object:
    return {"conditions": merged(conditions_of(cluster), news, now)}


def _total(nodes: Iterable[Object], part: str) -> dict[str, str]:
    total: dict[str, Quantity] = {}
    for node in nodes:
        for name, amount in ((node.get("status") or {}).get(part) or {}).items():
            total[name] = _sum(total.get(name), quantity(str(amount)))
    return {name: str(total[name]) for name in sorted(total)}


def _sum(one: Quantity | None, other: Quantity) -> Quantity:
    """Written as the first was."""
    if one is None:
        return other
    exact = (one.exact + other.exact) / Fraction(10) ** NANO
    return Quantity(int(exact), NANO, one.style)


def _exposed(claims: Iterable[Object]) -> list[dict[str, Any]]:
    """Reserved names first, then the others by name, as many as the hub takes."""
    values = {c["metadata"]["name"]: (c.get("spec") or {}).get("value", "") for c in claims if SPOKE_ONLY not in labels_of(c)}
    reserved = [name for name in RESERVED if name in values]
    custom = sorted(values.keys() - set(RESERVED))[:MAX_CUSTOM_CLAIMS]
    return [{"name": name, "value": values[name]} for name in (*reserved, *custom)]
