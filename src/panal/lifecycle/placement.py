"""Which clusters are selected: the run's Placement, the cluster set bindings that it needs, and what is missing.

Placements tolerate unreachable and unavailable clusters, because the scheduler would remove a cluster during its training. The run's quorum
decides how many clusters may be lost. The toleration has no limit, with one exception: if `numberOfClusters` is set and so many other
clusters qualify, it ends after REPLACED_AFTER, and the scheduler selects another cluster. With `numberOfClusters` the Placement also
prefers the clusters that are selected already (STEADY): otherwise the scheduler exchanges them when other Placements change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from panal.api.names import ClusterName
from panal.lifecycle.metadata import labels, owned
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.world import ClusterView, Object, World
from panal.placement.explain import explain

CLUSTER_API = "cluster.open-cluster-management.io"
TOLERATED = (f"{CLUSTER_API}/unreachable", f"{CLUSTER_API}/unavailable")
REPLACED_AFTER = 300  # seconds since the hub lost contact with a cluster, which it notices after as long again
STEADY = {"scoreCoordinate": {"type": "BuiltIn", "builtIn": "Steady"}, "weight": 10}
NAMED_CLUSTERS = 5  # how many clusters a message names before it only counts


@dataclass(frozen=True, slots=True)
class Selection:
    """`clusters` are the selected clusters; if they are not enough, `reason` and `message` say what is missing. `settled` is false while
    OCM rewrites its decisions, or has emptied them because the Placement is misconfigured; no cluster may be removed then."""

    clusters: frozenset[ClusterName]
    settled: bool
    enough: bool
    reason: Reason
    message: str


def objects(world: World) -> list[Object]:
    """The Placement, and a binding for each cluster set that it names, if panal's admission policy is installed."""
    return [_placement(world), *(_binding(world, name) for name in _sets_to_bind(world))]


def select(world: World) -> Selection:
    """The clusters that OCM selected, and whether they are enough to start."""
    view = world.placement
    if view is None:
        return Selection(
            frozenset(), False, False, Reason.PLACEMENT_PENDING, "OCM's placement controller has not scheduled the Placement yet"
        )
    needed = world.run.spec.server.min_available_clients
    settled = view.settled and not view.misconfigured
    selected = _accepted(world, view.selected if settled else view.selected | world.works.keys())
    if len(selected) >= needed:
        clusters = "cluster" if len(selected) == 1 else "clusters"
        message = f"{len(selected)} {clusters} selected, {needed} needed"
        return Selection(selected, settled, True, Reason.CLUSTERS_SELECTED, message)
    return Selection(selected, settled, False, *_what_is_missing(world))


def misconfigured(world: World) -> str:
    """OCM's message if the Placement is misconfigured, else an empty string."""
    return world.placement.misconfigured if world.placement else ""


def _accepted(world: World, selected: frozenset[ClusterName]) -> frozenset[ClusterName]:
    """Drops clusters that the hub does not accept, which OCM's scheduler excludes only by a taint that our tolerations cover."""
    return frozenset(c for c in selected if c in world.clusters and world.clusters[c].accepted)


def _what_is_missing(world: World) -> tuple[Reason, str]:
    spec = world.run.spec.client.placement
    unbound = [name for name in _named_sets(world) if name not in world.bound_sets]
    if unbound:
        message = f"cluster set {', '.join(unbound)} is not bound in namespace {world.run.namespace}"
        return Reason.CLUSTER_SET_NOT_BOUND, with_remedy(Reason.CLUSTER_SET_NOT_BOUND, message)
    if not world.bound_sets:
        message = f"no cluster set is bound in namespace {world.run.namespace}"
        return Reason.CLUSTER_SET_NOT_BOUND, with_remedy(Reason.CLUSTER_SET_NOT_BOUND, message)
    explanation = explain(tolerant(spec), world.clusters, world.set_members, world.bound_sets)
    if explanation.wrong:
        message = f"spec.client.placement.{explanation.wrong}"
        return Reason.PLACEMENT_MISCONFIGURED, with_remedy(Reason.PLACEMENT_MISCONFIGURED, message)
    needed = world.run.spec.server.min_available_clients
    found = f"{needed} needed, {explanation.summary(NAMED_CLUSTERS)}"
    return Reason.NOT_ENOUGH_CLUSTERS, with_remedy(Reason.NOT_ENOUGH_CLUSTERS, found)


def tolerant(spec: dict[str, Any], seconds: int | None = None) -> dict[str, Any]:
    """Adds our tolerations to the placement `spec`, except for taints that it tolerates itself. They end after `seconds`, if given."""
    tolerations = list(spec.get("tolerations") or [])
    mentioned = {t.get("key") for t in tolerations}
    ending = {} if seconds is None else {"tolerationSeconds": seconds}
    tolerations += [{"key": key, "operator": "Exists", **ending} for key in TOLERATED if key not in mentioned]
    return {**spec, "tolerations": tolerations}


def steady(spec: dict[str, Any]) -> dict[str, Any]:
    """Adds STEADY to the placement `spec`, unless it says itself how much that counts. It has an effect only with `numberOfClusters`."""
    policy = spec.get("prioritizerPolicy") or {}
    configurations = policy.get("configurations") or []
    own = any((each.get("scoreCoordinate") or {}).get("builtIn") == "Steady" for each in configurations)
    if not spec.get("numberOfClusters") or policy.get("mode") == "Exact" or own:
        return spec
    return {**spec, "prioritizerPolicy": {**policy, "configurations": [*configurations, STEADY]}}


def rendered(
    spec: dict[str, Any],
    clusters: Mapping[ClusterName, ClusterView],
    set_members: Mapping[str, frozenset[ClusterName]],
    bound_sets: Collection[str],
    selected: frozenset[ClusterName],
) -> dict[str, Any]:
    """The spec of the Placement for a run with the placement `spec`."""
    ending = REPLACED_AFTER if _replaces(spec, clusters, set_members, bound_sets, selected) else None
    return steady(tolerant(spec, ending))


def _replaces(
    spec: dict[str, Any],
    clusters: Mapping[ClusterName, ClusterView],
    set_members: Mapping[str, frozenset[ClusterName]],
    bound_sets: Collection[str],
    selected: frozenset[ClusterName],
) -> bool:
    """Whether clusters that stay away are replaced: enough others qualify. While one is away, this does not depend on which clusters are
    selected, so that the scheduler does not select the absent cluster again.

    A taint without a time, which OCM's webhook sets, would end the toleration at once: then no selected cluster is replaced. Whether a
    cluster matches a CEL expression is known only of the selected ones.
    """
    wanted = spec.get("numberOfClusters")
    if not wanted or not any(_is_away(each) for each in clusters.values()):
        return False
    if any(_is_away(clusters[name]) and clusters[name].untimed for name in selected & clusters.keys()):
        return False
    verdicts = explain(spec, clusters, set_members, bound_sets, selected).verdicts
    qualifying = [name for name, verdict in verdicts.items() if verdict.qualifies and (not verdict.unknown or name in selected)]
    return len(qualifying) >= int(wanted)


def _is_away(cluster: ClusterView) -> bool:
    return any(key in TOLERATED for key, _, _ in cluster.taints)


def _named_sets(world: World) -> list[str]:
    return list(world.run.spec.client.placement.get("clusterSets") or [])


def _sets_to_bind(world: World) -> list[str]:
    """The cluster sets for which panal applies a binding: not those that others bind, which can be used only while that binding exists."""
    if not world.binding_policy:
        return []
    ours = [name for name in _named_sets(world) if name not in world.sets_left_to_others]
    return [name for name in ours if name not in world.bound_sets or name in world.own_bound_sets]


def _placement(world: World) -> Object:
    selected = world.placement.selected if world.placement else frozenset[ClusterName]()
    spec = rendered(world.run.spec.client.placement, world.clusters, world.set_members, world.bound_sets, selected)
    return owned(world.run, f"{CLUSTER_API}/v1beta1", "Placement", world.run.name) | {"spec": spec}


def _binding(world: World, name: str) -> Object:
    """A binding without an owner: other runs of the namespace may name the set. `cleanup` deletes it with the last of them."""
    metadata = {"name": name, "namespace": world.run.namespace, "labels": labels(None)}
    return {
        "apiVersion": f"{CLUSTER_API}/v1beta2",
        "kind": "ManagedClusterSetBinding",
        "metadata": metadata,
        "spec": {"clusterSet": name},
    }
