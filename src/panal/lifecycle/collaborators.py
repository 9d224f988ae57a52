"""The collaborators: one ManifestWork for each selected cluster.

A collaborator is a StatefulSet with one replica. The work also contains its Pod, whose name is known, as ReadOnly: its feedback tells the
hub why a Pod does not start. An existing work keeps its StatefulSet, because a change of the Pod template would restart the training. The
namespace and the ServiceAccount belong to the add-on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from panal.api import names
from panal.api.names import ClusterName
from panal.api.types import Status
from panal.lifecycle import collaborator_pod, feedback, partitions, policies
from panal.lifecycle.collaborator_pod import Common, Site, has_policy, on_open_shift
from panal.lifecycle.exposure import Found, Way, way
from panal.lifecycle.metadata import identity, labels
from panal.lifecycle.participants import not_admitted
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.world import ClusterView, Object, World
from panal.placement.data import DataLocation, data_claim, data_location
from panal.runtimes import Announced

WORK_API = "work.open-cluster-management.io/v1"


@dataclass(frozen=True, slots=True)
class Works:
    """The desired works of a run, not rendered: `render` makes the object of one site. Two sites that are equal have the same work, so that
    thousands of works are compared without rendering them. `sites` are in the order of the clusters' names."""

    common: Common
    sites: Sequence[Site]

    @property
    def name(self) -> str:
        """The name of each work; its namespace is the cluster's."""
        return names.work(self.common.run.name, identity(self.common.run))

    @property
    def labels(self) -> dict[str, str]:
        """The labels of each work."""
        return labels(self.common.run, "collaborator")

    def render(self, site: Site, existing: Iterable[Object] = ()) -> Object:
        """The ManifestWork of a site. `existing`: the manifests of its present work, which keeps its StatefulSet. The NetworkPolicy comes
        first: OCM before 1.3 applies manifests in the given order."""
        common, run = self.common, self.common.run
        name = names.collaborator(run.name, identity(run))
        found = next((m for m in existing if m.get("kind") == "StatefulSet"), None)
        stateful_set = found or collaborator_pod.stateful_set(common, name, site)
        manifests = [
            collaborator_pod.egress_policy(common, name, site),
            collaborator_pod.config(common, name, site),
            stateful_set,
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-0", "namespace": names.COLLABORATOR_NAMESPACE}},
        ]
        return {
            "apiVersion": WORK_API,
            "kind": "ManifestWork",
            "metadata": {"name": self.name, "namespace": site.cluster, "labels": self.labels},
            "spec": {
                "workload": {"manifests": manifests},
                "manifestConfigs": [_read_only_pod(f"{name}-0", stateful_set)],
            },
        }


def works(world: World, clusters: Iterable[ClusterName], listeners: Sequence[Found], announced: Announced) -> Works:
    """The works of `clusters`, which must be able to take part. A cluster whose way to the aggregator is not yet known gets none."""
    run = replace(world.run, generation=0, deleting_since=None, finalizers=(), status=Status(), has_status=False)
    numbers = partitions.assign(clusters, world.works)
    ways: dict[tuple[str, str], Way | None] = {}
    claim = data_claim(world.run.spec.client.placement, world.run.spec.client.data_claim)
    sites = []
    for cluster in sorted(numbers):
        config = world.sites[cluster].config
        used = config.address_host, config.listener
        if used not in ways:
            ways[used] = way(world, listeners, config)
        if found := ways[used]:
            view = world.clusters.get(cluster)
            location = _location(world, claim, cluster)
            sites.append(Site(cluster, numbers[cluster], config, location, on_open_shift(view), *found, policy=has_policy(view)))
    return Works(Common(run, world.images, announced), sites)


def excluded(world: World, clusters: Iterable[ClusterName]) -> Mapping[ClusterName, Trouble]:
    """Those of `clusters` that get no collaborator, or lose it, and why: they are not admitted, no longer announce valid data, or do not
    comply with a policy that the run requires."""
    client = world.run.spec.client
    claim, required = data_claim(client.placement, client.data_claim), policies.required(client, world.run.namespace)

    def why(cluster: ClusterName) -> Trouble | None:
        return (
            not_admitted(world, cluster)
            or without_data(world.clusters.get(cluster), claim)
            or policies.not_compliant(cluster, required, world.compliance)
        )

    return {cluster: trouble for cluster in clusters if (trouble := why(cluster))}


def without_data(cluster: ClusterView | None, claim: str) -> Trouble | None:
    """Why the cluster does not announce usable data by `claim`, which may be NO_DATA."""
    if claim == names.NO_DATA or cluster is None:
        return None
    value = cluster.claims.get(claim)
    if value is None:
        return Trouble.of(Reason.DATA_NOT_FOUND, f"{cluster.name} has no ClusterClaim {claim}")
    try:
        data_location(value)
    except ValueError as error:
        return Trouble.of(Reason.DATA_LOCATION_INVALID, f"ClusterClaim {claim} of {cluster.name}: {error}")
    return None


def _location(world: World, claim: str, cluster: ClusterName) -> DataLocation | None:
    value = world.clusters[cluster].claims.get(claim) if claim != names.NO_DATA and cluster in world.clusters else None
    return data_location(value) if value else None


def _read_only_pod(name: str, stateful_set: Object) -> dict[str, Any]:
    identifier = {"group": "", "resource": "pods", "name": name, "namespace": names.COLLABORATOR_NAMESPACE}
    return {
        "resourceIdentifier": identifier,
        "feedbackScrapeType": "Watch",
        "updateStrategy": {"type": "ReadOnly"},
        "feedbackRules": [feedback.rule(stateful_set)],
    }
