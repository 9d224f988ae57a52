"""A ManagedCluster on the hub: acceptance, labels, taints, lease and removal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panal.api.names import CLUSTER_SET_LABEL
from panal.kube import kinds
from panal.kube.times import to_time
from panal_local.ocm import clusters
from panal_local.ocm.conditions import merge_conditions, new_condition

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
THEN = to_time(NOW)
AWAY = {"key": clusters.UNREACHABLE, "effect": "NoSelect", "timeAdded": THEN}
MINE = {"key": "mine", "effect": "PreferNoSelect", "timeAdded": "2029-01-01T00:00:00Z"}


def cluster(available: str = "", accepted: bool = True, taints: Any = None, lease: int = 60, **metadata: Any) -> dict[str, Any]:
    """A cluster that the hub has processed: it needs no change beyond those of a test."""
    labels = {CLUSTER_SET_LABEL: "default"} | metadata.pop("labels", {})
    conditions = [new_condition(clusters.ACCEPTED, True, "HubClusterAdminAccepted", "Accepted by hub cluster admin")]
    if available:
        conditions.append(new_condition(clusters.AVAILABLE, available, "R", "M"))
    spec = {"hubAcceptsClient": accepted, "leaseDurationSeconds": lease, "taints": taints}
    kept = {"name": "c1", "finalizers": list(clusters.FINALIZERS), "labels": labels, "annotations": {clusters.ACCEPTED_ON: THEN}} | metadata
    return {"metadata": kept, "spec": spec, "status": {"conditions": conditions}}


def lease(age: float) -> dict[str, Any]:
    return clusters.lease("c1", NOW - timedelta(seconds=age))


def test_a_new_cluster_is_accepted_added_to_the_default_set_and_tainted() -> None:
    plan = clusters.decide({"metadata": {"name": "c1"}, "spec": {"hubAcceptsClient": False}}, None, NOW)
    assert plan.changes == {
        "metadata": {
            "labels": {CLUSTER_SET_LABEL: "default"},
            "annotations": {clusters.ACCEPTED_ON: THEN},
            "finalizers": list(clusters.FINALIZERS),
        },
        "spec": {"hubAcceptsClient": True, "taints": [AWAY]},
    }
    assert plan.conditions == ()


def test_a_denied_cluster_stays_denied() -> None:
    plan = clusters.decide(cluster("True", accepted=False), lease(0), NOW)
    assert plan.changes == {}
    assert (plan.conditions[0]["status"], plan.conditions[0]["reason"]) == ("False", "HubClusterAdminDenied")


@pytest.mark.parametrize(
    ("available", "before", "after"),
    [
        ("", [], [AWAY]),
        ("Unknown", [], [AWAY]),
        ("True", [AWAY], None),
        ("True", [MINE, AWAY], [MINE]),
        ("Unknown", [MINE], [MINE, AWAY]),
        ("True", [{"key": "new", "effect": "NoSelect"}], [{"key": "new", "effect": "NoSelect", "timeAdded": THEN}]),
    ],
)
def test_taints_follow_availability(available: str, before: list[Any], after: list[Any] | None) -> None:
    plan = clusters.decide(cluster(available, taints=before), lease(0), NOW)
    assert plan.changes == {"spec": {"taints": after}}


@pytest.mark.parametrize(
    ("available", "taints"),
    [("", [AWAY]), ("Unknown", [AWAY | {"timeAdded": "2029-01-01T00:00:00Z"}]), ("Unknown", [MINE, AWAY]), ("True", None)],
)
def test_correct_taints_are_not_changed(available: str, taints: Any) -> None:
    assert clusters.decide(cluster(available, taints=taints), lease(0), NOW).changes == {}


@pytest.mark.parametrize(
    ("age", "seconds", "lost"), [(0, 60, False), (299, 60, False), (300, 60, True), (299, 0, False), (9.9, 2, False), (10, 2, True)]
)
def test_a_lease_expires_after_five_durations(age: float, seconds: int, lost: bool) -> None:
    plan = clusters.decide(cluster("True", lease=seconds), lease(age), NOW)
    assert (clusters.LOST in plan.conditions) is lost
    assert plan.requeue_after == (None if lost else pytest.approx(5 * (seconds or 60) - age))


def test_the_grace_period_is_configurable() -> None:
    assert clusters.LOST in clusters.decide(cluster("True", lease=2), lease(3), NOW, grace=1.5).conditions


def test_an_unchanged_cluster_needs_no_write() -> None:
    known = cluster("True")
    plan = clusters.decide(known, lease(1), NOW)
    known["status"]["conditions"] = merge_conditions(known["status"]["conditions"], plan.conditions, NOW)
    again = clusters.decide(known, lease(2), NOW + timedelta(seconds=5))
    assert again.changes == {}
    assert merge_conditions(known["status"]["conditions"], again.conditions, NOW + timedelta(seconds=5)) == known["status"]["conditions"]


def test_add_ons_of_a_lost_cluster_have_an_unknown_state() -> None:
    assert clusters.lost(cluster("Unknown")) == (new_condition("Available", "Unknown", "R", "M"),)
    assert clusters.lost(cluster("True")) == ()


def test_the_time_of_a_condition_is_its_last_transition() -> None:
    first = merge_conditions([], [new_condition("A", True, "X"), new_condition("B", False, "Y")], NOW)
    later = merge_conditions(first, [new_condition("B", False, "Z"), new_condition("A", False, "X")], NOW + timedelta(seconds=9))
    assert [(c["type"], c["reason"], c["lastTransitionTime"]) for c in later] == [
        ("A", "X", to_time(NOW + timedelta(seconds=9))),
        ("B", "Z", THEN),
    ]


def test_add_ons_then_works_are_deleted_before_their_cluster() -> None:
    one, going = {"metadata": {"name": "a"}}, {"metadata": {"name": "b", "deletionTimestamp": THEN}}
    first = clusters.remove([one, going], [one])
    assert first.delete == ((kinds.MANAGED_CLUSTER_ADDON, one),)
    assert not first.done
    assert clusters.remove([], [going]).delete == ()
    assert clusters.remove([], [one]).delete == ((kinds.MANIFEST_WORK, one),)
    assert clusters.remove([], []).done
