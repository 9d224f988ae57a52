"""The collaborators: one ManifestWork for each selected cluster.

A collaborator is a StatefulSet with one replica. The work also contains its Pod, whose name is known, as ReadOnly: its feedback tells the
hub why a Pod does not start. An existing work keeps its StatefulSet, because a change of the Pod template would restart the training. The
namespace and the ServiceAccount belong to the add-on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from panal.api import names
from panal.api.names import ClusterName
from panal.lifecycle import collaborator_pod, feedback, partitions
from panal.lifecycle.collaborator_pod import Site, on_open_shift
from panal.lifecycle.exposure import route
from panal.lifecycle.metadata import identity, labels
from panal.lifecycle.participants import not_admitted
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.world import Address, Object, WorkView, World
from panal.placement.data import DataLocation, data_claim, data_location
from panal.runtimes import Announced, Partition

WORK_API = "work.open-cluster-management.io/v1"


def works(world: World, clusters: Iterable[ClusterName], address: Address, announced: Announced) -> list[Object]:
    """The works of `clusters`, which must be able to take part. A cluster whose route to the aggregator is not yet resolved gets none."""
    numbers = partitions.assign(clusters, world.works)
    found = (_work(world, cluster, numbers[cluster], address, announced) for cluster in sorted(numbers))
    return [w for w in found if w]


def cannot_take_part(world: World, cluster: ClusterName) -> Trouble | None:
    """Why a selected cluster gets or keeps no collaborator: it is not admitted, or announces no valid data. None if it can take part."""
    return not_admitted(world, cluster) or _without_data(world, cluster)


def _without_data(world: World, cluster: ClusterName) -> Trouble | None:
    claim = data_claim(world.run.spec.client.placement, world.run.spec.client.data_claim)
    if claim == names.NO_DATA or cluster not in world.clusters:
        return None
    value = world.clusters[cluster].claims.get(claim)
    if value is None:
        return Trouble.of(Reason.DATA_NOT_FOUND, f"{cluster} has no ClusterClaim {claim}")
    try:
        data_location(value)
    except ValueError as error:
        return Trouble.of(Reason.DATA_LOCATION_INVALID, f"ClusterClaim {claim} of {cluster}: {error}")
    return None


def _location(world: World, cluster: ClusterName) -> DataLocation | None:
    claim = data_claim(world.run.spec.client.placement, world.run.spec.client.data_claim)
    value = world.clusters[cluster].claims.get(claim) if claim != names.NO_DATA and cluster in world.clusters else None
    return data_location(value) if value else None


def _site(world: World, cluster: ClusterName, partition: Partition, address: Address) -> Site | None:
    config = world.sites[cluster].config
    found = route(world, address, config)
    if found is None:
        return None
    open_shift = on_open_shift(world.clusters.get(cluster))
    return Site(cluster, partition, config, _location(world, cluster), open_shift, found, config.address_host or address.host)


def _work(world: World, cluster: ClusterName, partition: Partition, address: Address, announced: Announced) -> Object | None:
    """The ManifestWork of a cluster. The NetworkPolicy comes first: OCM before 1.3 applies manifests in the given order."""
    run = world.run
    name = names.collaborator(run.name, identity(run))
    site = _site(world, cluster, partition, address)
    if site is None:
        return None
    stateful_set = _manifest(world.works.get(cluster), "StatefulSet") or collaborator_pod.stateful_set(world, name, site, announced)
    manifests = [
        collaborator_pod.egress_policy(world, name, site),
        collaborator_pod.config(world, name, site),
        stateful_set,
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-0", "namespace": names.COLLABORATOR_NAMESPACE}},
    ]
    return {
        "apiVersion": WORK_API,
        "kind": "ManifestWork",
        "metadata": {"name": names.work(run.name, identity(run)), "namespace": cluster, "labels": labels(run, "collaborator")},
        "spec": {
            "workload": {"manifests": manifests},
            "manifestConfigs": [_read_only_pod(f"{name}-0", stateful_set)],
        },
    }


def _manifest(work: WorkView | None, kind: str) -> Object | None:
    manifests = work.object.get("spec", {}).get("workload", {}).get("manifests", []) if work else []
    return next((m for m in manifests if m.get("kind") == kind), None)


def _read_only_pod(name: str, stateful_set: Object) -> dict[str, Any]:
    identifier = {"group": "", "resource": "pods", "name": name, "namespace": names.COLLABORATOR_NAMESPACE}
    return {
        "resourceIdentifier": identifier,
        "feedbackScrapeType": "Watch",
        "updateStrategy": {"type": "ReadOnly"},
        "feedbackRules": [feedback.rule(stateful_set)],
    }
