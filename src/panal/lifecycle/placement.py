"""Which clusters are selected: the run's Placement, the cluster set bindings that it needs, and what is missing.

Placements tolerate unreachable and unavailable clusters without a limit, because the scheduler would remove a cluster during its training.
The run's quorum decides how many clusters may be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from panal.api.names import ClusterName
from panal.lifecycle.metadata import labels, owned
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.world import Object, World
from panal.placement.explain import explain

CLUSTER_API = "cluster.open-cluster-management.io"
TOLERATED = (f"{CLUSTER_API}/unreachable", f"{CLUSTER_API}/unavailable")
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


def tolerant(spec: dict[str, Any]) -> dict[str, Any]:
    """Adds our tolerations to the placement `spec`, except for taints that it tolerates itself."""
    tolerations = list(spec.get("tolerations") or [])
    mentioned = {t.get("key") for t in tolerations}
    tolerations += [{"key": key, "operator": "Exists"} for key in TOLERATED if key not in mentioned]
    return {**spec, "tolerations": tolerations}


def _named_sets(world: World) -> list[str]:
    return list(world.run.spec.client.placement.get("clusterSets") or [])


def _sets_to_bind(world: World) -> list[str]:
    """The cluster sets for which panal applies a binding: not those that others bind, which can be used only while that binding exists."""
    if not world.binding_policy:
        return []
    ours = [name for name in _named_sets(world) if name not in world.sets_left_to_others]
    return [name for name in ours if name not in world.bound_sets or name in world.own_bound_sets]


def _placement(world: World) -> Object:
    return owned(world.run, f"{CLUSTER_API}/v1beta1", "Placement", world.run.name) | {"spec": tolerant(world.run.spec.client.placement)}


def _binding(world: World, name: str) -> Object:
    """A binding without an owner: other runs of the namespace may name the set. `cleanup` deletes it with the last of them."""
    metadata = {"name": name, "namespace": world.run.namespace, "labels": labels(None)}
    return {
        "apiVersion": f"{CLUSTER_API}/v1beta2",
        "kind": "ManagedClusterSetBinding",
        "metadata": metadata,
        "spec": {"clusterSet": name},
    }
