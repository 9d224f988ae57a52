"""What a Placement is evaluated with: objects of the hub, and indexes of them that all Placements share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from panal.placement.sets import members

Object = Mapping[str, Any]

GROUP = "cluster.open-cluster-management.io"
CLUSTER_SET_LABEL = f"{GROUP}/clusterset"
PLACEMENT_LABEL = f"{GROUP}/placement"
DISABLED_ANNOTATION = f"{GROUP}/experimental-scheduling-disable"


@dataclass(frozen=True)
class Hub:
    """All objects of the five kinds in all namespaces. They must not change: create a new Hub after a change. `scores` are
    AddOnPlacementScores."""

    clusters: Sequence[Object] = ()
    sets: Sequence[Object] = ()
    bindings: Sequence[Object] = ()
    decisions: Sequence[Object] = ()
    scores: Sequence[Object] = ()

    @cached_property
    def _sets_by_name(self) -> Mapping[str, Object]:
        return {name_of(each): each for each in self.sets}

    @cached_property
    def _selected(self) -> Mapping[tuple[str, str], list[str]]:
        """The clusters in the decisions of each Placement, by namespace and name. Decisions without a Placement have an empty name."""
        selected: dict[tuple[str, str], list[str]] = {}
        for each in self.decisions:
            decided = (each.get("status") or {}).get("decisions") or ()
            selected.setdefault((namespace_of(each), placement_of(each)), []).extend(d["clusterName"] for d in decided)
        return selected

    @cached_property
    def _by_set_label(self) -> Mapping[str, list[Object]]:
        labelled: dict[str, list[Object]] = {}
        for cluster in self.clusters:
            labelled.setdefault(labels_of(cluster).get(CLUSTER_SET_LABEL, ""), []).append(cluster)
        return labelled

    @cached_property
    def _scores(self) -> Mapping[tuple[str, str], Object]:
        """The AddOnPlacementScores by cluster and name."""
        return {(namespace_of(each), name_of(each)): each for each in self.scores}

    def set_named(self, name: str) -> Object | None:
        return self._sets_by_name.get(name)

    def scores_of(self, cluster: str, resource: str) -> Object | None:
        """The AddOnPlacementScore of that name for a cluster."""
        return self._scores.get((cluster, resource))

    def bound_sets(self, namespace: str) -> list[str]:
        """The existing sets that are bound in the namespace. Conditions of bindings and their deletion do not matter."""
        return [name for b in self.bindings if namespace_of(b) == namespace and (name := name_of(b)) in self._sets_by_name]

    def members(self, set_name: str) -> Sequence[Object]:
        """The clusters of a set. Raises MisconfiguredError if its label selector is invalid."""
        return members(self._sets_by_name[set_name], self.clusters, self._by_set_label, labels_of)

    def selected_by(self, namespace: str, placement: str) -> frozenset[str]:
        """The clusters in the current decisions of a Placement."""
        return frozenset(self._selected.get((namespace, placement), ()))

    def selected_by_others(self, namespace: str, placement: str) -> Counter[str]:
        """The number of decisions of other Placements for each cluster."""
        counts: Counter[str] = Counter()
        for key, names in self._selected.items():
            if key != (namespace, placement):
                counts.update(names)
        return counts


def placement_of(decision: Object) -> str:
    """The name of the Placement of a PlacementDecision; empty without the label."""
    return str(labels_of(decision).get(PLACEMENT_LABEL, ""))


def claims_of(cluster: Object) -> Mapping[str, str]:
    claims = (cluster.get("status") or {}).get("clusterClaims") or ()
    return {claim.get("name", ""): claim.get("value", "") for claim in claims}


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def labels_of(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}
