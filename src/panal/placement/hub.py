"""What the scheduler reads of the hub, as Kubernetes objects in JSON, and the few tables made of it once for many Placements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from panal.api.names import CLUSTER_SET_LABEL, ClusterName
from panal.placement.selectors import compile_labels

Object = Mapping[str, Any]
Remembered = TypeVar("Remembered")
Cluster = TypeVar("Cluster")

GROUP = "cluster.open-cluster-management.io"
PLACEMENT_LABEL = f"{GROUP}/placement"
GROUP_INDEX_LABEL = f"{GROUP}/decision-group-index"
GROUP_NAME_LABEL = f"{GROUP}/decision-group-name"
DISABLED_ANNOTATION = f"{GROUP}/experimental-scheduling-disable"


@dataclass(frozen=True)
class Hub:
    """All objects of the five kinds, of all namespaces, none changed while the Hub is in use: make another one after a change."""

    clusters: Sequence[Object] = ()
    sets: Sequence[Object] = ()
    bindings: Sequence[Object] = ()
    decisions: Sequence[Object] = ()
    scores: Sequence[Object] = ()
    _memory: dict[tuple[str, str], Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def sets_by_name(self) -> Mapping[str, Object]:
        return {name_of(each): each for each in self.sets}

    @cached_property
    def scores_by_name(self) -> Mapping[tuple[str, str], Object]:
        """By namespace, which is the cluster's name, and name."""
        return {(namespace_of(each), name_of(each)): each for each in self.scores}

    @cached_property
    def _bound(self) -> Mapping[str, list[str]]:
        bound: dict[str, list[str]] = {}
        for binding in self.bindings:
            if name_of(binding) in self.sets_by_name:
                bound.setdefault(namespace_of(binding), []).append(name_of(binding))
        return bound

    @cached_property
    def _selected(self) -> Mapping[tuple[str, str], list[str]]:
        """The clusters in the decisions of each Placement, by its namespace and name; of no Placement, the name is empty."""
        selected: dict[tuple[str, str], list[str]] = {}
        for each in self.decisions:
            placement = (each["metadata"].get("labels") or {}).get(PLACEMENT_LABEL, "")
            decided = (each.get("status") or {}).get("decisions") or ()
            selected.setdefault((namespace_of(each), placement), []).extend(d["clusterName"] for d in decided)
        return selected

    @cached_property
    def _by_set_label(self) -> Mapping[str, list[Object]]:
        labelled: dict[str, list[Object]] = {}
        for cluster in self.clusters:
            labelled.setdefault(labels_of(cluster).get(CLUSTER_SET_LABEL, ""), []).append(cluster)
        return labelled

    def bound_sets(self, namespace: str) -> list[str]:
        """The existing sets bound there. Only a binding's name counts, neither its condition nor whether it is being deleted."""
        return self._bound.get(namespace, [])

    def members(self, set_name: str) -> Sequence[Object]:
        """A set's clusters; raises MisconfiguredError where its own label selector is wrong."""
        return members(self.sets_by_name[set_name], self.clusters, self._by_set_label, labels_of)

    def selected_by(self, namespace: str, placement: str) -> frozenset[ClusterName]:
        """The clusters in a Placement's present decisions."""
        return frozenset(map(ClusterName, self._selected.get((namespace, placement), ())))

    def selected_by_others(self, namespace: str, placement: str) -> Counter[str]:
        """How often each cluster is in decisions of all other Placements."""
        counts: Counter[str] = Counter()
        for key, names in self._selected.items():
            if key != (namespace, placement):
                counts.update(names)
        return counts

    def remembered(self, key: tuple[str, str], make: Callable[[], Remembered]) -> Remembered:
        """What was made of an object for another Placement before; `key` is what it is made for and the object's name."""
        found: Remembered = self._memory[key] if key in self._memory else self._memory.setdefault(key, make())
        return found

    def claims_of(self, cluster: Object) -> Mapping[str, str]:
        return self.remembered(("claims", name_of(cluster)), lambda: _claims(cluster))


def members(
    cluster_set: Object,
    clusters: Iterable[Cluster],
    labelled: Mapping[str, Sequence[Cluster]],
    labels: Callable[[Cluster], Mapping[str, str]],
) -> Sequence[Cluster]:
    """Those of the `clusters` that are in the set, whatever they are given as; `labelled` has them by their label of a set. Raises
    MisconfiguredError where the set's own label selector is wrong."""
    selector = (cluster_set.get("spec") or {}).get("clusterSelector") or {}
    if selector.get("selectorType", "ExclusiveClusterSetLabel") == "ExclusiveClusterSetLabel":
        return labelled.get(name_of(cluster_set), ())
    wanted = selector.get("labelSelector")
    if wanted is None:
        return ()  # as for Kubernetes: an empty selector selects all, none at all selects nothing
    requirements = compile_labels(wanted, "spec.clusterSelector.labelSelector")
    return [cluster for cluster in clusters if all(r.met(labels(cluster)) for r in requirements)]


def _claims(cluster: Object) -> Mapping[str, str]:
    claims = (cluster.get("status") or {}).get("clusterClaims") or ()
    return {claim.get("name", ""): claim.get("value", "") for claim in claims}


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def labels_of(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}
