"""Views of Kubernetes objects, including incomplete ones."""

from __future__ import annotations

from typing import Any

import pytest

from panal.api.names import CLUSTER_SET_LABEL, ClusterName
from panal.hub import views


def cluster(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c1", "labels": {CLUSTER_SET_LABEL: "default"}}, "spec": {}, "status": status}


def test_the_availability_of_a_new_cluster_is_unknown() -> None:
    view = views.cluster({"metadata": {"name": "c1"}})
    assert (view.accepted, view.available, view.claims, view.cluster_set) == (False, None, {}, "")


@pytest.mark.parametrize(("status", "available"), [("True", True), ("False", False), ("Unknown", None)])
def test_a_clusters_availability(status: str, available: bool | None) -> None:
    assert views.cluster(cluster(conditions=[{"type": "ManagedClusterConditionAvailable", "status": status}])).available is available


def test_claims_are_a_map() -> None:
    assert views.cluster(cluster(clusterClaims=[{"name": "a", "value": "1"}])).claims == {"a": "1"}


def placement(selected: int) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": {"numberOfSelectedClusters": selected, "conditions": [{"type": "PlacementSatisfied", "status": "True"}]},
    }


def decision(*names: str) -> dict[str, Any]:
    return {"metadata": {}, "status": {"decisions": [{"clusterName": n} for n in names]}}


def test_decisions_are_settled_when_the_placement_has_their_number() -> None:
    view = views.placement(placement(3), [decision("c1", "c2"), decision("c3")])
    assert view is not None
    assert (view.selected, view.settled) == ({"c1", "c2", "c3"}, True)


@pytest.mark.parametrize("decisions", [[{"metadata": {}}], [decision("c1")], []])
def test_incomplete_decisions_are_not_settled(decisions: list[dict[str, Any]]) -> None:
    view = views.placement(placement(2), decisions)
    assert view is not None
    assert not view.settled


def test_a_placement_that_was_never_scheduled_has_no_view() -> None:
    assert views.placement({"metadata": {}}, []) is None


def test_pods_of_a_job_are_those_it_owns() -> None:
    def pod(reason: str, owner: str) -> dict[str, Any]:
        metadata = {"creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": [{"uid": owner}]}
        return {"metadata": metadata, "status": {"reason": reason}}

    obj = {"metadata": {"uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    assert [p.reason for p in views.job(obj, [pod("mine", "u1"), pod("older", "u0")]).pods] == ["mine"]


def test_a_container_that_ended() -> None:
    ended = {"exitCode": 137, "reason": "OOMKilled", "message": "m", "finishedAt": "2026-01-01T00:00:00Z"}
    view = views.container({"name": "launcher", "image": "i", "state": {"terminated": ended}})
    assert (view.running, view.exit_code, view.terminated, view.message) == (False, 137, "OOMKilled", "m")


def node(name: str, ready: str = "True", **addresses: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "addresses": [{"type": kind, "address": address} for kind, address in addresses.items()],
        },
    }


def test_external_addresses_come_first_and_unready_nodes_are_omitted() -> None:
    nodes = [
        node("b", InternalIP="10.0.0.2"),
        node("c", ExternalIP="1.2.3.4", InternalIP="10.0.0.3"),
        node("a", "False", InternalIP="10.0.0.1"),
    ]
    assert views.node_addresses(nodes) == ("1.2.3.4", "10.0.0.2")


def test_set_members_by_label_and_by_selector() -> None:
    clusters = {ClusterName("c1"): views.cluster(cluster())}
    sets = [
        {"metadata": {"name": "default"}},
        {"metadata": {"name": "other"}},
        {"metadata": {"name": "global"}, "spec": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}}},
        {"metadata": {"name": "nothing"}, "spec": {"clusterSelector": {"selectorType": "LabelSelector"}}},
    ]
    found = views.members(sets, clusters)
    assert found == {"default": {"c1"}, "other": frozenset(), "global": {"c1"}, "nothing": frozenset()}
