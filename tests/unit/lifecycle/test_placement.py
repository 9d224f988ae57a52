"""Which clusters are selected, what is missing, and the bindings of cluster sets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from panal.lifecycle.decide import decide
from panal.lifecycle.placement import REPLACED_AFTER, STEADY, TOLERATED, select, steady
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import ClusterView, PlacementView, World
from worlds import CLAIM, NOW, applied, cluster, clusters, deleted, fresh, names_of, run, running, sites

MISSING: list[tuple[str, World, Reason, str]] = [
    ("OCM has not answered", fresh(placement=None), Reason.PLACEMENT_PENDING, "placement controller"),
    (
        "too few clusters have the data",
        fresh(
            placement=PlacementView(selected=names_of(1)),
            clusters=clusters(cluster(1), cluster(2, claim=None)),
            set_members={"global": names_of(1, 2)},
        ),
        Reason.NOT_ENOUGH_CLUSTERS,
        "2 needed, 1 of 2 clusters qualify: cluster2 lacks claim example.com/digits",
    ),
    (
        "the set is not bound",
        fresh(placement=PlacementView(selected=frozenset()), bound_sets=frozenset(), binding_policy=False),
        Reason.CLUSTER_SET_NOT_BOUND,
        "global is not bound in namespace ns",
    ),
]


@pytest.mark.parametrize(("world", "reason", "words"), [case[1:] for case in MISSING], ids=[case[0] for case in MISSING])
def test_the_message_names_what_is_missing(world: World, reason: Reason, words: str) -> None:
    selection = select(world)
    assert not selection.enough
    assert selection.reason is reason
    assert words in selection.message


def test_a_cluster_that_the_hub_does_not_accept_is_not_selected() -> None:
    denied = replace(cluster(3), accepted=False)
    plan = decide(running(clusters=clusters(cluster(1), cluster(2), denied)), NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]


@pytest.mark.parametrize(
    ("world", "bound"),
    [
        (fresh(bound_sets=frozenset()), ["global"]),
        (fresh(bound_sets=frozenset(), binding_policy=False), []),
        (fresh(bound_sets=frozenset(), sets_left_to_others=frozenset({"global"})), []),
        (fresh(bound_sets=frozenset({"global"}), own_bound_sets=frozenset({"global"})), ["global"]),
        (fresh(bound_sets=frozenset({"global"}), sets_left_to_others=frozenset({"global"})), []),
    ],
    ids=["not bound yet", "no policy", "others have taken their binding away", "bound by us", "bound by others"],
)
def test_a_set_is_bound_with_the_policy_unless_others_bind_it(world: World, bound: list[str]) -> None:
    assert [b["metadata"]["name"] for b in applied(decide(world, NOW), "ManagedClusterSetBinding")] == bound


def test_nothing_is_removed_while_ocm_rewrites_its_decisions() -> None:
    plan = decide(running(placement=PlacementView(selected=frozenset(), settled=False)), NOW)
    assert plan.delete == ()
    assert plan.look_again is not None
    assert plan.look_again <= 1.0


def test_nothing_is_removed_while_the_placement_is_misconfigured() -> None:
    plan = decide(running(placement=PlacementView(selected=frozenset(), misconfigured="bad CEL")), NOW)
    assert plan.delete == ()
    assert plan.status is None or plan.status.clients.selected == 3


UNREACHABLE = (TOLERATED[0], "", "NoSelect")
HAS_DATA = {"claimSelector": {"matchExpressions": [{"key": CLAIM, "operator": "Exists"}]}}
MATCHES = {"celSelector": {"celExpressions": ["true"]}}


def away(number: int, *, untimed: bool = False) -> ClusterView:
    return replace(cluster(number, available=None), taints=(UNREACHABLE,), untimed=untimed)


def hub(*views: ClusterView, selected: tuple[int, ...] = (1, 2), number: int | None = 2, selector: dict[str, object] = HAS_DATA) -> World:
    """A run of two clusters that has started, on a hub of these clusters."""
    of_clusters = {} if number is None else {"numberOfClusters": number}
    spec = {"clusterSets": ["global"], "predicates": [{"requiredClusterSelector": selector}], **of_clusters}
    known = running()
    status = known.run.status
    return replace(
        known,
        run=run(status, client={"image": "example/app:1", "dataClaim": CLAIM, "placement": spec}),
        placement=PlacementView(selected=names_of(*selected)),
        clusters=clusters(*views),
        set_members={"global": frozenset(v.name for v in views)},
    )


@pytest.mark.parametrize(
    ("world", "limited"),
    [
        (hub(cluster(1), cluster(2), cluster(3)), False),
        (hub(cluster(1), away(2), cluster(3)), True),
        (hub(cluster(1), away(2), cluster(3), selected=(1, 3)), True),  # replaced: it must not come back in the other's place
        (hub(cluster(1), away(2), cluster(3), number=None), False),
        (hub(cluster(1), away(2)), False),
        (hub(cluster(1), away(2), away(3)), False),
        (hub(cluster(1), away(2), cluster(3, claim=None)), False),
        (hub(cluster(1), away(2), replace(cluster(3), accepted=False)), False),
        (hub(cluster(1), away(2, untimed=True), cluster(3)), False),
        (hub(cluster(1), cluster(2), away(3, untimed=True), cluster(4)), True),
        (hub(cluster(1), away(2), cluster(3), selector=MATCHES), False),
        (hub(cluster(1), away(2), cluster(3), selected=(1, 3), selector=MATCHES), True),
    ],
    ids=[
        "no cluster is away",
        "another qualifies",
        "replaced",
        "all clusters are selected",
        "no other",
        "the other is away too",
        "the other has no data",
        "the other is not accepted",
        "the taint has no time",
        "the taint of one that is not selected has no time",
        "the other may not match",
        "replaced by one that matches",
    ],
)
def test_a_cluster_that_stays_away_is_replaced_if_enough_others_qualify(world: World, limited: bool) -> None:
    (placement,) = applied(decide(world, NOW), "Placement")
    ending = {"tolerationSeconds": REPLACED_AFTER} if limited else {}
    assert placement["spec"]["tolerations"] == [{"key": key, "operator": "Exists", **ending} for key in TOLERATED]


CPU = {"scoreCoordinate": {"builtIn": "ResourceAllocatableCPU"}}
OWN_STEADY = {"scoreCoordinate": {"builtIn": "Steady"}, "weight": 1}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, {"configurations": [STEADY]}),
        ({"mode": "Additive", "configurations": [CPU]}, {"mode": "Additive", "configurations": [CPU, STEADY]}),
        ({"configurations": [OWN_STEADY]}, {"configurations": [OWN_STEADY]}),
        ({"mode": "Exact", "configurations": [CPU]}, {"mode": "Exact", "configurations": [CPU]}),
    ],
)
def test_selected_clusters_stay_selected_unless_the_resource_says_how_much_that_counts(
    policy: dict[str, object] | None, expected: dict[str, object]
) -> None:
    spec = {"numberOfClusters": 2} if policy is None else {"numberOfClusters": 2, "prioritizerPolicy": policy}
    assert steady(spec) == spec | {"prioritizerPolicy": expected}
    del spec["numberOfClusters"]
    assert steady(spec) is spec


def test_a_cluster_that_joins_gets_a_collaborator_and_one_that_leaves_loses_it_at_once() -> None:
    before = running(sites=sites(1, 2, 3, 4), clusters=clusters(*(cluster(n) for n in (1, 2, 3, 4))))
    plan = decide(replace(before, placement=PlacementView(selected=names_of(1, 2, 4))), NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]
    assert plan.works is not None
    assert [each.cluster for each in plan.works.sites] == ["cluster1", "cluster2", "cluster4"]
    (gateway,) = [o for o in applied(plan, "ConfigMap") if o["metadata"]["name"].endswith("-gateway")]
    assert json.loads(gateway["data"]["participants"]) == ["cluster1", "cluster2", "cluster4"]
