"""The clusters that the scheduler selects, and the status of the Placement."""

from datetime import UTC, datetime, timedelta

import pytest

from panal.placement import MisconfiguredError
from panal.placement.hub import Hub
from panal_local.scheduling.schedule import schedule

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULT = {"metadata": {"name": "default"}, "spec": {}}
BINDING = {"metadata": {"name": "default", "namespace": "ns"}}
SET_LABEL = "cluster.open-cluster-management.io/clusterset"
PLACEMENT_LABEL = "cluster.open-cluster-management.io/placement"


def cluster(name, *taints, **labels):
    return {"metadata": {"name": name, "labels": {SET_LABEL: "default"} | labels}, "spec": {"taints": list(taints)}}


def placement(**spec):
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}


def decision(name, *clusters, placement="p", namespace="ns"):
    decided = [{"clusterName": each, "reason": ""} for each in clusters]
    return {"metadata": {"name": name, "namespace": namespace, "labels": {PLACEMENT_LABEL: placement}}, "status": {"decisions": decided}}


def hub(*clusters, decisions=(), sets=(DEFAULT,), bindings=(BINDING,)):
    return Hub(clusters, sets, bindings, decisions)


def selected(outcome):
    return [name for each in outcome.decisions for name in each.clusters]


def test_one_object_has_a_hundred_decisions():
    outcome = schedule(placement(), hub(*(cluster(f"c{n:03}") for n in range(250))), NOW)
    assert [(d.name, len(d.clusters)) for d in outcome.decisions] == [("p-decision-1", 100), ("p-decision-2", 100), ("p-decision-3", 50)]


def test_scheduling_is_requeued_when_a_toleration_ends():
    tainted = cluster("c", {"key": "gpu", "effect": "NoSelect", "timeAdded": "2025-12-31T23:59:30Z"})
    for_a_minute = placement(tolerations=[{"key": "gpu", "operator": "Exists", "tolerationSeconds": 60}])
    outcome = schedule(for_a_minute, hub(tainted, cluster("d")), NOW)
    assert (selected(outcome), outcome.requeue) == (["c", "d"], NOW + timedelta(seconds=30))
    later = schedule(for_a_minute, hub(tainted, cluster("d"), decisions=[decision("p-decision-1", "c", "d")]), outcome.requeue)
    assert (selected(later), later.requeue) == (["d"], None)


def test_no_select_if_new_keeps_selected_clusters():
    tainted = cluster("c", {"key": "gpu", "effect": "NoSelectIfNew"})
    assert selected(schedule(placement(), hub(tainted), NOW)) == []
    assert selected(schedule(placement(), hub(tainted, decisions=[decision("x", "c")]), NOW)) == ["c"]
    assert selected(schedule(placement(), hub(tainted, decisions=[decision("x", "c", namespace="other")]), NOW)) == []


def test_selected_clusters_stay_and_others_are_balanced():
    clusters = [cluster(name) for name in "abc"]
    one = placement(numberOfClusters=1)
    assert selected(schedule(one, hub(*clusters), NOW)) == ["a"]
    assert selected(schedule(one, hub(*clusters, decisions=[decision("x", "b")]), NOW)) == ["b"]
    others = [decision("y", "a", placement="q"), decision("z", "b", placement="q", namespace="other")]
    assert selected(schedule(one, hub(*clusters, decisions=others), NOW)) == ["c"]


@pytest.mark.parametrize(
    ("selector", "members"),
    [
        ({"selectorType": "LabelSelector", "labelSelector": {}}, ["a", "b"]),
        ({"selectorType": "LabelSelector"}, []),
        ({"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"x": "1"}}}, ["b"]),
    ],
)
def test_sets_by_labels(selector, members):
    sets = [{"metadata": {"name": "global"}, "spec": {"clusterSelector": selector}}]
    bindings = [{"metadata": {"name": "global", "namespace": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}}]
    assert selected(schedule(placement(), hub(cluster("a"), cluster("b", x="1"), sets=sets, bindings=bindings), NOW)) == members


def test_a_set_with_an_invalid_selector_raises():
    problem = {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"a b": ""}}}}
    with pytest.raises(MisconfiguredError, match=r"clusterSelector\.labelSelector"):
        schedule(placement(), hub(cluster("a"), sets=[{"metadata": {"name": "default"}, "spec": problem}]), NOW)


@pytest.mark.parametrize(
    "metadata",
    [
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"annotations": {"cluster.open-cluster-management.io/experimental-scheduling-disable": "true"}},
    ],
)
def test_a_deleted_or_disabled_placement_is_skipped(metadata):
    off = placement()
    assert schedule({**off, "metadata": off["metadata"] | metadata}, hub(cluster("a")), NOW) is None


def test_a_negative_number_of_clusters_selects_none():
    outcome = schedule(placement(numberOfClusters=-1), hub(cluster("a")), NOW)
    assert (outcome.selected, [c["reason"] for c in outcome.conditions]) == (0, ["Succeedconfigured", "NoManagedClusterMatched"])


def problem(outcome):
    misconfigured, _ = outcome.conditions
    return misconfigured["message"] if misconfigured["status"] == "True" else ""


def by_cel(*expressions):
    return placement(predicates=[{"requiredClusterSelector": {"celSelector": {"celExpressions": list(expressions)}}}])


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        (['managedCluster.metadata.name == "a"'], ["a"]),
        (['managedCluster.metadata.labels["x"].startsWith("1")'], ["b"]),
        (["true", 'has(managedCluster.metadata.labels.x) && managedCluster.metadata.labels.x == "1"'], ["b"]),
        (["managedCluster.spec.taints.size() == 0"], ["a", "b"]),
        (["managedCluster.metadata.name"], []),
    ],
)
def test_by_cel(expressions, expected):
    outcome = schedule(by_cel(*expressions), hub(cluster("a"), cluster("b", x="1")), NOW)
    assert (selected(outcome), problem(outcome)) == (expected, "")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ('managedCluster.scores("load").size() > 0', "undeclared reference to 'scores'"),
        ('quantity(managedCluster.status.allocatable.cpu).isGreaterThan(quantity("1"))', "undeclared reference to 'quantity'"),
        ("managedCluster.", "Syntax error"),
    ],
)
def test_unsupported_cel_selects_none_with_a_reason(expression, words):
    outcome = schedule(by_cel("true", expression), hub(cluster("a")), NOW)
    assert selected(outcome) == []
    assert "predicates[0].requiredClusterSelector.celSelector.celExpressions[1]: " in problem(outcome)
    assert words in problem(outcome)
    assert "the local platform evaluates standard CEL" in problem(outcome)


def prioritized(*coordinates, mode="Additive"):
    return placement(prioritizerPolicy={"mode": mode, "configurations": [{"scoreCoordinate": c, "weight": w} for c, w in coordinates]})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (placement(tolerations=[{"operator": "Exists", "value": "x"}]), "tolerations[0].value: operator Exists takes no value"),
        (placement(predicates=[{"requiredClusterSelector": {"labelSelector": {"matchLabels": {"a b": ""}}}}]), "labelSelector.matchLabels"),
        (prioritized(({"type": "AddOn"}, 1)), "configurations[0].scoreCoordinate.addOn: missing"),
        (
            prioritized(({"builtIn": "Balance"}, 1), ({"builtIn": "Size"}, 1)),
            'configurations[1].scoreCoordinate.builtIn: "Size" is not one of',
        ),
        (prioritized(mode="Random"), "prioritizerPolicy.mode: Random is neither Additive nor Exact"),
    ],
)
def test_an_invalid_placement_selects_none_with_a_reason(wanted, words):
    outcome = schedule(wanted, hub(cluster("a")), NOW)
    assert selected(outcome) == []
    assert words in problem(outcome)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (prioritized(({"builtIn": "Steady"}, 0)), "a"),
        (prioritized(({"builtIn": "Steady"}, 3), mode="Exact"), "b"),
        (prioritized(({"builtIn": "ResourceAllocatableCPU"}, 5), ({"builtIn": "ResourceAllocatableMemory"}, 5)), "b"),
        (prioritized(mode="Exact"), "a"),
    ],
)
def test_weights(wanted, expected):
    one = wanted | {"spec": wanted["spec"] | {"numberOfClusters": 1}}
    assert selected(schedule(one, hub(cluster("a"), cluster("b"), decisions=[decision("p-decision-1", "b")]), NOW)) == [expected]


def test_clusters_of_all_decision_groups_are_selected():
    strategy = {
        "groupStrategy": {"decisionGroups": [{"groupName": "g", "groupClusterSelector": {"labelSelector": {"matchLabels": {"x": "1"}}}}]}
    }
    assert selected(schedule(placement(decisionStrategy=strategy), hub(cluster("a"), cluster("b", x="1")), NOW)) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "world", "reason"),
    [
        (placement(), hub(cluster("a"), bindings=()), "NoManagedClusterSetBindings"),
        (placement(clusterSets=["other"]), hub(cluster("a")), "NoIntersection"),
        (placement(), hub(), "AllManagedClusterSetsEmpty"),
        (placement(), hub(cluster("a", {"key": "k", "effect": "NoSelect"})), "NoManagedClusterMatched"),
        (placement(numberOfClusters=2), hub(cluster("a")), "NotAllDecisionsScheduled"),
        (placement(numberOfClusters=1), hub(cluster("a"), cluster("b")), "AllDecisionsScheduled"),
    ],
)
def test_the_first_reason_that_applies_is_reported(given, world, reason):
    _, satisfied = schedule(given, world, NOW).conditions
    assert (satisfied["type"], satisfied["reason"]) == ("PlacementSatisfied", reason)
    assert satisfied["status"] == str(reason == "AllDecisionsScheduled")
