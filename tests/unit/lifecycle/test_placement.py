"""Which clusters are selected, what is missing, and the bindings of cluster sets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.lifecycle.decide import decide
from panal.lifecycle.placement import select
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import PlacementView, World
from worlds import NOW, applied, cluster, clusters, deleted, fresh, names_of, running

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
