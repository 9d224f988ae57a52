"""The status that an agent reports for its cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from panal_local.ocm import registration
from panal_local.ocm.clusters import ACCEPTED
from panal_local.ocm.conditions import new_condition

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def cluster(accepted: bool = True, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c1"}, "status": {"conditions": [new_condition(ACCEPTED, accepted, "R")]} | status}


def node(capacity: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"capacity": capacity, "allocatable": capacity}}


def claim(name: str, value: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"value": value}}


def report(**given: Any) -> dict[str, Any]:
    return registration.available(given.get("cluster", cluster()), "v1.34.1", given.get("nodes", []), given.get("claims", []), NOW)


def test_a_cluster_that_is_not_accepted_reports_nothing() -> None:
    assert report(cluster=cluster(accepted=False)) == report(cluster={"metadata": {}}) == {}


def test_joined_and_available() -> None:
    reported = report()
    assert [(c["type"], c["status"]) for c in reported["conditions"]] == [
        (ACCEPTED, "True"),
        ("ManagedClusterJoined", "True"),
        ("ManagedClusterConditionAvailable", "True"),
    ]
    assert reported["version"] == {"kubernetes": "v1.34.1"}
    assert reported["capacity"] is reported["allocatable"] is reported["clusterClaims"] is None


def test_capacity_that_others_wrote_stays_and_allocatable_does_not() -> None:
    known = cluster(capacity={"cpu": "1", "their.own/key": "7"}, allocatable={"their.own/key": "7"})
    reported = report(cluster=known, nodes=[node({"cpu": "2"})])
    assert (reported["capacity"], reported["allocatable"]) == ({"cpu": "2", "their.own/key": "7"}, {"cpu": "2"})


def test_claims_are_in_the_order_of_their_names() -> None:
    assert report(claims=[claim("b", "2"), claim("a", "1")])["clusterClaims"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
