"""What is deleted when a run ends or is deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from worlds import NOW, ago, deleted, ended, run, running, work, works


def test_an_ended_run_keeps_its_status_and_loses_its_other_objects() -> None:
    left = (("v1", "Service", "digits-aggregator"), ("v1", "ServiceAccount", "digits-reporter"))
    plan = decide(replace(ended(), leftovers=left), NOW)
    assert plan.status is None
    assert deleted(plan, "ServiceAccount") == ["digits-reporter"]
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert deleted(plan, "Job") == []


def test_the_service_of_an_ended_run_is_deleted_after_its_works() -> None:
    world = replace(ended(), leftovers=(("v1", "Service", "digits-aggregator"),))
    assert deleted(decide(world, NOW), "Service") == []
    assert deleted(decide(replace(world, works={}), NOW), "Service") == ["digits-aggregator"]


def test_an_ended_run_with_nothing_left_needs_nothing() -> None:
    plan = decide(replace(ended(), works={}), NOW)
    assert (plan.apply, plan.delete, plan.status, plan.events, plan.look_again) == ((), (), None, (), None)


def test_a_binding_that_no_run_names_is_deleted() -> None:
    plan = decide(running(own_bound_sets=frozenset({"global", "former"})), NOW)
    assert deleted(plan, "ManagedClusterSetBinding") == ["former"]


def test_deletion_removes_works_then_the_finalizer() -> None:
    deleting = running(run=run(deleting_since=ago(5)))
    plan = decide(deleting, NOW)
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert not plan.remove_finalizer
    assert decide(replace(deleting, works={}), NOW).remove_finalizer


def test_deletion_strips_finalizers_of_works_of_unreachable_clusters() -> None:
    stuck = replace(work(2), deleting_since=ago(301))
    plan = decide(running(run=run(deleting_since=ago(302)), works=works(stuck)), NOW)
    assert [(r.namespace, r.strip_finalizers) for r in plan.delete if r.kind == "ManifestWork"] == [("cluster2", True)]
    assert [e.reason for e in plan.events] == [Reason.CLEANUP_INCOMPLETE]
    assert "cluster2" in plan.events[0].message


def test_deletion_waits_for_a_cluster_until_the_limit() -> None:
    waiting = replace(work(2), deleting_since=ago(100))
    plan = decide(running(run=run(deleting_since=ago(101)), works=works(waiting)), NOW)
    assert deleted(plan, "ManifestWork") == []
    assert plan.look_again == pytest.approx(201)
    assert not plan.remove_finalizer


@pytest.mark.parametrize(("others", "gone"), [(frozenset(), ["global"]), (frozenset({"global"}), [])])
def test_a_binding_is_deleted_with_the_last_run_that_names_it(others: frozenset[str], gone: list[str]) -> None:
    world = running(run=run(deleting_since=ago(5)), works={}, own_bound_sets=frozenset({"global"}), sets_of_others=others)
    assert deleted(decide(world, NOW), "ManagedClusterSetBinding") == gone


def test_a_run_without_our_finalizer_has_an_empty_plan() -> None:
    assert decide(running(run=replace(run(deleting_since=ago(5)), finalizers=("other/one",))), NOW).delete == ()
