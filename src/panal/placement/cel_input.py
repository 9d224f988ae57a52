"""A ManagedCluster as CEL expressions see it: as Go's type writes it down, which has some fields always and leaves out empty ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.placement.quantity import quantity

OMITTED_IF_EMPTY = {
    "spec": ("managedClusterClientConfigs", "leaseDurationSeconds", "taints"),
    "status": ("capacity", "allocatable", "clusterClaims", "managedNamespaces"),
}


def typed(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities are in Kubernetes' own form."""
    return {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {key: value for key, value in cluster["metadata"].items() if value},
        "spec": _full("spec", cluster, {"hubAcceptsClient": False}, taints=_taints),
        "status": _full("status", cluster, {"conditions": None, "version": {}}, capacity=_amounts, allocatable=_amounts),
    }


def _full(part: str, cluster: Mapping[str, Any], always: dict[str, Any], **mending: Any) -> dict[str, Any]:
    given = always | (cluster.get(part) or {})
    left = {key: value for key, value in given.items() if value or key not in OMITTED_IF_EMPTY[part]}
    return {key: mending[key](value) if key in mending else value for key, value in left.items()}


def _taints(taints: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"timeAdded": None} | {key: value for key, value in taint.items() if value or key != "value"} for taint in taints]


def _amounts(amounts: Mapping[str, str | int]) -> dict[str, str]:
    return {name: str(quantity(str(amount))) for name, amount in amounts.items()}
