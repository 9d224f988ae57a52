"""The members of a ManagedClusterSet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from panal.placement.selectors import compile_labels

Cluster = TypeVar("Cluster")


def members(
    cluster_set: Mapping[str, Any],
    clusters: Iterable[Cluster],
    labelled: Mapping[str, Sequence[Cluster]],
    labels: Callable[[Cluster], Mapping[str, str]],
) -> Sequence[Cluster]:
    """The clusters of the set. `clusters` may have any type, `labelled` groups them by their label of a set, and `labels` returns the
    labels of one. Raises MisconfiguredError if the set's own label selector is invalid."""
    selector = (cluster_set.get("spec") or {}).get("clusterSelector") or {}
    if selector.get("selectorType", "ExclusiveClusterSetLabel") == "ExclusiveClusterSetLabel":
        return labelled.get(str(cluster_set["metadata"]["name"]), ())
    wanted = selector.get("labelSelector")
    if wanted is None:
        return ()  # as in Kubernetes: an empty selector selects everything, a missing one selects nothing
    requirements = compile_labels(wanted, "spec.clusterSelector.labelSelector")
    return [cluster for cluster in clusters if all(r.met(labels(cluster)) for r in requirements)]
