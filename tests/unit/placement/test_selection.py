"""Tables over placements and clusters: the verdict, what decides, and the change that would make a cluster qualify."""

from datetime import UTC, datetime

import pytest

from panal.placement.changes import Change
from panal.placement.hub import Hub
from panal.placement.selection import Verdict, explained

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = "cluster.open-cluster-management.io"
SET = f"{GROUP}/clusterset"
DEFAULT = {"metadata": {"name": "default"}, "spec": {}}
BY_LABEL = {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"env": "prod"}}}}
PROD = {"metadata": {"name": "prod"}, "spec": BY_LABEL}
SELECTED, OUTSCORED, NOT_QUALIFIED, NOT_EVALUATED = Verdict


def cluster(name="c1", *taints, claims=(), status=None, **labels):
    reported = [{"name": key, "value": value} for key, value in dict(claims).items()]
    return {
        "metadata": {"name": name, "labels": {SET: "default"} | labels},
        "spec": {"taints": list(taints)},
        "status": {"clusterClaims": reported} | (status or {}),
    }


def bound(*names):
    return [{"metadata": {"name": name, "namespace": "ns"}} for name in names]


def decision(*clusters, placement="p", namespace="ns"):
    metadata = {"name": "d", "namespace": namespace, "labels": {f"{GROUP}/placement": placement}}
    return {"metadata": metadata, "status": {"decisions": [{"clusterName": each} for each in clusters]}}


def score(name, value, until=None):
    status = {"scores": [{"name": "memory", "value": value}]} | ({"validUntil": until} if until else {})
    return {"metadata": {"name": "capacity", "namespace": name}, "status": status}


def ask(spec, *clusters, sets=(DEFAULT,), bindings=("default",), cel=lambda _e, _c: None, decided=None, misconfigured="", **more):
    placement = {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}
    return explained(placement, Hub(clusters, sets, bound(*bindings), **more), NOW, cel, decided, misconfigured)


def one(spec, *clusters, **more):
    return ask(spec, *clusters, **more).standings[0]


def need(key, operator, *values):
    return {"key": key, "operator": operator} | ({"values": list(values)} if values else {})


def labels(*expressions):
    return {"requiredClusterSelector": {"labelSelector": {"matchExpressions": list(expressions)}}}


def claims(*expressions):
    return {"requiredClusterSelector": {"claimSelector": {"matchExpressions": list(expressions)}}}


def cel(*expressions):
    return {"requiredClusterSelector": {"celSelector": {"celExpressions": list(expressions)}}}


PREDICATES = [
    # predicates, labels of the cluster, what is said of it, the change
    ([labels(need("env", "In", "prod"))], {}, "has not label env with one of the values [prod]", Change("set", "label", "env", "prod")),
    ([labels(need("env", "NotIn", "dev"))], {"env": "dev"}, "with none of the values [dev]", Change("set", "label", "env")),
    ([labels(need("env", "Exists"))], {}, "lacks label env", Change("set", "label", "env")),
    ([labels(need("env", "DoesNotExist"))], {"env": "x"}, "has label env", Change("remove", "label", "env")),
    # requirements on one label are met together
    ([labels(need("env", "In", "a", "b"), need("env", "NotIn", "a"))], {}, "label env", Change("set", "label", "env", "b")),
    ([labels(need("env", "Exists"), need("env", "DoesNotExist"))], {}, "lacks label env", None),
    # of several predicates, the one with the smallest change that is possible
    ([labels(need("a", "Exists"), need("b", "Exists")), labels(need("c", "Exists"))], {}, "lacks label c", Change("set", "label", "c")),
    ([labels(need("a", "Exists"), need("a", "DoesNotExist")), labels(need("b", "Exists"), need("c", "Exists"))], {}, "lacks label b", ...),
    ([claims(need("data", "Exists"))], {}, "lacks claim data", Change("set", "claim", "data")),
]


@pytest.mark.parametrize(("predicates", "own", "why", "change"), PREDICATES)
def test_what_a_cluster_lacks_and_what_would_help(predicates, own, why, change):
    standing = one({"predicates": predicates}, cluster(**own))
    assert standing.verdict is NOT_QUALIFIED
    assert why in standing.obstacles[0].why
    assert standing.obstacles[0].field.startswith("predicates[")
    assert change in (..., standing.obstacles[0].change)


def test_the_field_is_that_of_the_requirement():
    (obstacle,) = one({"predicates": [claims(need("a", "Exists"), need("b", "Exists"))]}, cluster(claims={"a": ""})).obstacles
    assert obstacle.field == "predicates[0].requiredClusterSelector.claimSelector.matchExpressions[1]"


def test_a_cluster_outside_the_sets_may_join_one():
    (obstacle,) = one({}, cluster(**{SET: "other"}), sets=(DEFAULT, PROD), bindings=("default", "prod")).obstacles
    assert obstacle.why == "is in none of the cluster sets [default, prod] that are bound to the run's namespace"
    assert obstacle.change == Change("set", "label", SET, "default")
    (obstacle,) = one({"clusterSets": ["prod"]}, cluster(), sets=(DEFAULT, PROD), bindings=("default", "prod")).obstacles
    assert (obstacle.why, obstacle.change) == ("is in none of the cluster sets [prod]", Change("set", "label", "env", "prod"))


def test_the_set_and_the_predicate_must_agree():
    """The label of the set that is nearest is excluded by the predicate: the other set is suggested."""
    spec = {"predicates": [labels(need(SET, "NotIn", "a"))]}
    sets = ({"metadata": {"name": "a"}, "spec": {}}, {"metadata": {"name": "b"}, "spec": {}})
    (obstacle,) = one(spec, cluster(**{SET: "a"}), sets=sets, bindings=("a", "b")).obstacles
    assert (obstacle.why, obstacle.change) == ("is not in the cluster set b", Change("set", "label", SET, "b"))


@pytest.mark.parametrize(
    ("spec", "bindings", "problem"),
    [
        ({}, (), "no existing cluster set is bound to the run's namespace"),
        ({"clusterSets": ["gone"]}, ("default",), "cluster set [gone] does not exist"),
        ({"clusterSets": ["default"]}, (), "cluster set [default] is not bound to the run's namespace"),
        ({"predicates": [labels(need("a", "In"))]}, ("default",), "matchExpressions[0]: operator In needs at least one value"),
        ({"tolerations": [{"operator": "Exists", "value": "x"}]}, ("default",), "tolerations[0].value"),
        ({"prioritizerPolicy": {"configurations": [{"scoreCoordinate": {"builtIn": "Size"}}]}}, ("default",), '"Size" is not one of'),
    ],
)
def test_what_concerns_all_clusters_is_said_once(spec, bindings, problem):
    found = ask(spec, cluster(), bindings=bindings)
    assert problem in found.problem
    assert [each.verdict for each in found.standings] == [NOT_QUALIFIED]


def test_what_open_cluster_management_says_against_the_placement_counts():
    found = ask({}, cluster(), decided=(), misconfigured="Predicate:undeclared reference")
    assert found.problem == "the placement is wrong: Predicate:undeclared reference"
    assert (found.standings[0].verdict, found.standings[0].otherwise) == (NOT_QUALIFIED, False)


def test_a_set_that_is_wrong_is_named():
    wrong = {
        "metadata": {"name": "s"},
        "spec": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"a b": ""}}}},
    }
    assert "ManagedClusterSet s: spec.clusterSelector.labelSelector" in ask({}, cluster(), sets=(wrong,), bindings=("s",)).problem


# --- taints --------------------------------------------------------------------------------------------------------------
def taint(key, effect="NoSelect", value="", added="2025-12-31T23:59:00Z"):
    return {"key": key, "effect": effect, "timeAdded": added} | ({"value": value} if value else {})


def test_taints_are_named_with_what_removes_them():
    (obstacle,) = one({}, cluster("c", taint("gpu", value="yes"))).obstacles
    assert (obstacle.why, obstacle.change) == ("is tainted gpu=yes:NoSelect", Change("remove", "taint", "gpu", "yes"))
    assert "spec.client.placement.tolerations" in obstacle.remedy
    (obstacle,) = one({}, cluster("c", taint(f"{GROUP}/unreachable"))).obstacles
    assert "connection to the hub" in obstacle.remedy


def test_a_toleration_that_has_ended_is_told_from_one_that_has_not():
    tolerated = {"tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 90}]}
    standing = one(tolerated, cluster("c", taint("gpu")))
    assert (standing.verdict, standing.notes) == (SELECTED, ("the taint gpu:NoSelect is tolerated until 2026-01-01T00:00:30Z",))
    (obstacle,) = one(tolerated, cluster("c", taint("gpu", added="2025-12-31T00:00:00Z"))).obstacles
    assert obstacle.why == "is tainted gpu:NoSelect, longer than is tolerated"


def test_a_cluster_that_goes_is_not_selected():
    leaving = cluster()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert [each.why for each in one({}, leaving).obstacles] == ["is being deleted"]


# --- scores --------------------------------------------------------------------------------------------------------------
def by_memory(number=1, mode="Exact"):
    coordinate = {"type": "AddOn", "addOn": {"resourceName": "capacity", "scoreName": "memory"}}
    return {
        "numberOfClusters": number,
        "prioritizerPolicy": {"mode": mode, "configurations": [{"scoreCoordinate": coordinate, "weight": 2}]},
    }


def test_scores_decide_and_are_shown():
    found = ask(by_memory(), cluster("a"), cluster("b"), cluster("c"), scores=[score("a", 10), score("b", 90)])
    assert [(each.cluster, each.verdict, each.scores, each.total, each.rank) for each in found.standings] == [
        ("a", OUTSCORED, {"capacity/memory": 10}, 20, 2),
        ("b", SELECTED, {"capacity/memory": 90}, 180, 1),
        ("c", OUTSCORED, {"capacity/memory": 0}, 0, 3),
    ]
    assert found.prioritizers == {"capacity/memory": 2}
    assert found.standings[2].notes == ("has no AddOnPlacementScore capacity: its scores are 0",)
    assert found.standings[2].obstacles[0].change == Change("set", "field", "spec.client.placement.numberOfClusters", "3")


def test_scores_that_have_expired_are_none():
    (standing,) = ask(by_memory(), cluster("a"), scores=[score("a", 10, until="2025-12-31T23:59:59Z")]).standings
    assert standing.scores == {"capacity/memory": 0}
    assert standing.notes == ("its AddOnPlacementScore capacity expired at 2025-12-31T23:59:59Z: its scores are 0",)


def test_a_score_beside_balance_needs_exact():
    assert "set spec.client.placement.prioritizerPolicy.mode to Exact" in ask(by_memory(mode="Additive"), cluster()).hints[0]
    (hint,) = ask(by_memory(), cluster()).hints
    assert "without Steady, Open Cluster Management exchanges clusters during the run" in hint
    assert ask(by_memory(number=None), cluster()).hints == ()


def test_a_negative_weight_of_steady_is_pointed_out():
    steady = {"scoreCoordinate": {"builtIn": "Steady"}, "weight": -1}
    assert "exchanges the clusters" in ask({"prioritizerPolicy": {"configurations": [steady]}}, cluster()).hints[0]


# --- CEL and decisions ---------------------------------------------------------------------------------------------------
def test_cel_that_is_not_evaluated_claims_nothing():
    standing = one({"predicates": [cel("x")]}, cluster())
    assert (standing.verdict, standing.obstacles[0].why) == (NOT_EVALUATED, "celSelector is not evaluated")
    assert one({"predicates": [cel("x")]}, cluster(), cel=lambda _e, _c: True).verdict is SELECTED
    assert one({"predicates": [cel("x")]}, cluster(), cel=lambda _e, _c: False).obstacles[0].why == "does not match celSelector"
    assert one({"predicates": [cel("x"), labels(need("a", "Exists"))]}, cluster(a="")).verdict is SELECTED


def test_scores_in_cel_may_have_expired():
    (hint,) = ask({"predicates": [cel('managedCluster.scores("a").size() > 0')]}, cluster()).hints
    assert "also returns scores that have expired" in hint


def test_what_else_keeps_a_cluster_out_is_claimed():
    standing = one({"predicates": [cel("x")]}, cluster("c", taint("gpu")))
    assert (standing.verdict, [each.cause for each in standing.obstacles]) == (NOT_QUALIFIED, ["Taint", "Cel"])


def test_ranks_that_depend_on_cel_are_not_claimed():
    spec = {"numberOfClusters": 1, "predicates": [cel("x"), labels(need("a", "Exists"))]}
    assert {each.verdict for each in ask(spec, cluster("c1", a=""), cluster("c2")).standings} == {NOT_EVALUATED}
    assert [each.verdict for each in ask(spec | {"numberOfClusters": 2}, cluster("c1", a=""), cluster("c2")).standings] == [
        SELECTED,
        NOT_EVALUATED,
    ]


def test_the_decision_tells_what_is_not_evaluated():
    chosen, left = ask({"predicates": [cel("x")]}, cluster("c1"), cluster("c2"), decided={"c1"}).standings
    assert (chosen.verdict, left.verdict) == (SELECTED, NOT_QUALIFIED)
    assert left.obstacles[0].why == "does not match celSelector, by the decision of Open Cluster Management"
    full = ask({"predicates": [cel("x")], "numberOfClusters": 1}, cluster("c1"), cluster("c2"), decided={"c1"}).standings
    assert [each.verdict for each in full] == [SELECTED, NOT_EVALUATED]


def test_disagreement_is_shown():
    chosen, left = ask({"predicates": [labels(need("a", "Exists"))]}, cluster("c1"), cluster("c2", a=""), decided={"c1"}).standings
    assert (chosen.verdict, chosen.decided, chosen.otherwise) == (NOT_QUALIFIED, True, True)
    assert (left.verdict, left.decided, left.otherwise) == (SELECTED, False, True)


def test_a_selected_cluster_stays_with_no_select_if_new():
    standing = one({}, cluster("c1", taint("gpu", "NoSelectIfNew")), decisions=[decision("c1")], decided={"c1"})
    assert (standing.verdict, standing.otherwise) == (SELECTED, False)


def test_many_claims_may_hide_one():
    many = {f"a{number:02}": "x" for number in range(18)} | {"id.k8s.io": "x"}
    assert one({"predicates": [claims(need("z", "Exists"))]}, cluster(claims=many)).hidden_claims == 18
    assert one({}, cluster(claims={"a": "x"})).hidden_claims == 0


def test_thousands_of_clusters_are_explained_within_seconds():
    spec = by_memory(3) | {"predicates": [labels(need("a", "Exists")), claims(need("b", "In", "x"), need("c", "Exists"))]}
    found = ask(spec, *(cluster(f"c{number}", **({"a": ""} if number % 2 else {})) for number in range(3500)))
    assert [sum(each.verdict is verdict for each in found.standings) for verdict in Verdict] == [3, 1747, 1750, 0]
