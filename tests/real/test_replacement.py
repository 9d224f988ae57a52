"""A cluster that stays away is replaced: panal's Placement, scheduled by the real Open Cluster Management.

The clusters are ManagedClusters without agents. This hub has none of OCM's webhooks, so the test writes the times of taints as its webhook
does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import Api, api
from fleet import Fleet
from panal.api.names import ClusterName
from panal.hub import views
from panal.kube import kinds
from panal.lifecycle.decide import decide
from panal.lifecycle.placement import CLUSTER_API, REPLACED_AFTER, TOLERATED
from panal.lifecycle.world import PlacementView
from waiting import eventually
from worlds import CLAIM, applied, fresh, run

pytestmark = pytest.mark.real

NS = "replaced"
LABEL = {"test": "replaced"}
SELECTOR = {
    "clusterSets": ["global"],
    "predicates": [{"requiredClusterSelector": {"labelSelector": {"matchLabels": LABEL}}}],
    "numberOfClusters": 1,
}
WITHOUT_TOLERATION = "intolerant"  # a Placement that shows when OCM has seen a taint
RUN = run(client={"image": "example/app:1", "dataClaim": CLAIM, "placement": SELECTOR}, server={"image": "example/app:1"})
AVAILABLE = "ManagedClusterConditionAvailable"


@pytest.fixture
def hub(ocm: Fleet) -> Iterator[Api]:
    found = api(ocm.hub.kubeconfig)
    found.make_namespace(NS)
    binding = {"apiVersion": f"{CLUSTER_API}/v1beta2", "kind": "ManagedClusterSetBinding", "spec": {"clusterSet": "global"}}
    found.apply(binding | {"metadata": {"name": "global", "namespace": NS}})
    names = ("near", "next")
    for name in names:
        cluster = {"apiVersion": f"{CLUSTER_API}/v1", "kind": "ManagedCluster", "metadata": {"name": name, "labels": LABEL}}
        found.apply(cluster | {"spec": {"hubAcceptsClient": True}})
        eventually(lambda name=name: cluster_of(found, name).accepted, f"{name} is accepted", 30)  # type: ignore[misc]
        tell(found, name, "True")
    yield found
    for name in names:
        found.delete(kinds.MANAGED_CLUSTER, "", name)
    found.delete(kinds.NAMESPACE, "", NS)


def tell(hub: Api, name: str, status: str) -> None:
    """What the hub, or the cluster's agent, says of its availability. Waits for the taint that follows."""
    known = hub.get(kinds.MANAGED_CLUSTER, "", name) or {}
    others = [c for c in known["status"]["conditions"] if c["type"] != AVAILABLE]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": AVAILABLE, "status": status, "reason": "Test", "message": "", "lastTransitionTime": now}
    hub.patch_status(kinds.MANAGED_CLUSTER, "", name, conditions=[*others, condition])
    eventually(lambda: bool(cluster_of(hub, name).taints) == (status != "True"), f"the taint of {name} is as with {status}", 30)


def taint(hub: Api, name: str, ago: float) -> None:
    added = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    hub.patch(kinds.MANAGED_CLUSTER, "", name, spec={"taints": [{"key": TOLERATED[0], "effect": "NoSelect", "timeAdded": added}]})


def cluster_of(hub: Api, name: str) -> Any:
    return views.cluster(hub.get(kinds.MANAGED_CLUSTER, "", name) or {"metadata": {"name": name}})


def selected(hub: Api, placement: str) -> frozenset[ClusterName]:
    decisions = hub.list(kinds.PLACEMENT_DECISION, NS, f"{CLUSTER_API}/placement={placement}")
    return frozenset(ClusterName(d["clusterName"]) for o in decisions for d in (o.get("status") or {}).get("decisions") or ())


def place(hub: Api) -> list[int | None]:
    """Applies the Placement that the run has now. Returns how long it tolerates taints."""
    clusters = {ClusterName(c["metadata"]["name"]): views.cluster(c) for c in hub.list(kinds.MANAGED_CLUSTER)}
    world = fresh(
        run=RUN,
        clusters=clusters,
        set_members={"global": frozenset(clusters)},
        placement=PlacementView(selected(hub, RUN.name)),
    )
    (placement,) = applied(decide(world, datetime.now(UTC)), "Placement")
    hub.apply(placement | {"metadata": {"name": RUN.name, "namespace": NS}})  # without its owner, which is not on this hub
    return [each.get("tolerationSeconds") for each in placement["spec"]["tolerations"]]


def test_a_cluster_that_stays_away_is_replaced_and_does_not_come_back_in_the_others_place(hub: Api) -> None:
    assert place(hub) == [None, None]
    hub.apply(
        {"apiVersion": f"{CLUSTER_API}/v1beta1", "kind": "Placement", "metadata": {"name": WITHOUT_TOLERATION, "namespace": NS}}
        | {"spec": SELECTOR}
    )
    first = eventually(lambda: selected(hub, RUN.name), "one is selected", 30)
    (away,) = first
    (other,) = {"near", "next"} - first

    tell(hub, away, "Unknown")
    assert place(hub) == [None, None]  # a taint without a time would not be tolerated at all
    eventually(lambda: selected(hub, WITHOUT_TOLERATION) == {other}, "OCM has seen the taint", 30)
    assert selected(hub, RUN.name) == first

    taint(hub, away, ago=0)
    assert place(hub) == [REPLACED_AFTER, REPLACED_AFTER]
    assert selected(hub, RUN.name) == first  # it is away for a moment

    taint(hub, away, ago=REPLACED_AFTER + 1)
    eventually(lambda: selected(hub, RUN.name) == {other}, "the other takes its place", 30)
    assert place(hub) == [REPLACED_AFTER, REPLACED_AFTER]

    tell(hub, away, "True")
    assert place(hub) == [None, None]
    tell(hub, other, "Unknown")
    eventually(lambda: selected(hub, WITHOUT_TOLERATION) == {away}, "OCM has seen both", 30)
    assert selected(hub, RUN.name) == {other}
