"""The members of a ManagedClusterSet, and which sets a Placement may use, in words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from panal.api.names import CLUSTER_SET_LABEL
from panal.placement.selectors import Requirement, compile_labels, shown

Cluster = TypeVar("Cluster")
EXCLUSIVE = "ExclusiveClusterSetLabel"


def members(
    cluster_set: Mapping[str, Any],
    clusters: Iterable[Cluster],
    labelled: Mapping[str, Sequence[Cluster]],
    labels: Callable[[Cluster], Mapping[str, str]],
) -> Sequence[Cluster]:
    """The clusters of the set. `clusters` may have any type, `labelled` groups them by their label of a set, and `labels` returns the
    labels of one. Raises MisconfiguredError if the set's own label selector is invalid."""
    name = str(cluster_set["metadata"]["name"])
    if _by_label(cluster_set):
        return labelled.get(name, ())
    required = requirements(cluster_set)
    return [] if required is None else [cluster for cluster in clusters if all(r.met(labels(cluster)) for r in required)]


def requirements(cluster_set: Mapping[str, Any]) -> tuple[Requirement, ...] | None:
    """What the labels of a cluster in the set must meet; None if no cluster can be in it. Raises MisconfiguredError."""
    if _by_label(cluster_set):
        return (Requirement("label", CLUSTER_SET_LABEL, "In", frozenset({str(cluster_set["metadata"]["name"])})),)
    wanted = _selector(cluster_set).get("labelSelector")
    if wanted is None:
        return None  # as in Kubernetes: an empty selector selects everything, a missing one selects nothing
    return compile_labels(wanted, "spec.clusterSelector.labelSelector")


def _by_label(cluster_set: Mapping[str, Any]) -> bool:
    return bool(_selector(cluster_set).get("selectorType", EXCLUSIVE) == EXCLUSIVE)


def _selector(cluster_set: Mapping[str, Any]) -> Mapping[str, Any]:
    return (cluster_set.get("spec") or {}).get("clusterSelector") or {}


def nothing_bound(wanted: Collection[str], sets: Collection[str], bound: Collection[str]) -> str:
    """Why no set is eligible: `wanted` are those that the Placement names, `sets` exist, `bound` are bound in its namespace."""
    if not wanted:
        return "no existing cluster set is bound to the run's namespace"
    absent = [name for name in wanted if name not in sets]
    if absent:
        return f"cluster set {shown(absent)} does not exist"
    return f"cluster set {shown(name for name in wanted if name not in bound)} is not bound to the run's namespace"


def outside(wanted: Collection[str], eligible: Collection[str]) -> str:
    """What is said of a cluster that is in no eligible set."""
    return f"is in none of the cluster sets {shown(eligible)}" + ("" if wanted else " that are bound to the run's namespace")
