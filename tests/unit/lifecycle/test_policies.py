"""A run requires policies: which clusters take part, and what is said of the others."""

from __future__ import annotations

import json

import pytest

from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import World
from worlds import NOW, applied, deleted, fresh, names_of, run, running, status_after

ONE, OTHER = {"name": "fl-site"}, {"name": "fl-images", "namespace": "governance"}


def compliance(third: str | None, policy: str = "ns.fl-site") -> dict[str, dict[str, str]]:
    """Clusters 1 and 2 comply; `third` is the state of the third, None: it has no copy."""
    states = dict.fromkeys(names_of(1, 2), "Compliant") | ({} if third is None else dict.fromkeys(names_of(3), third))
    return {policy: states}


def requiring(third: str | None, **changes: object) -> World:
    asks = run(status_after(fresh()), client={"requirePolicies": [ONE]})
    return running(**{"run": asks, "compliance": compliance(third)} | changes)


def participants(world: World) -> list[str]:
    found = next(o for o in applied(decide(world, NOW), "ConfigMap") if o["metadata"]["name"] == "digits-gateway")
    names: list[str] = json.loads(found["data"]["participants"])
    return names


@pytest.mark.parametrize(
    ("third", "reason", "words"),
    [
        ("NonCompliant", Reason.POLICY_NOT_COMPLIANT, "cluster3: Policy ns/fl-site is NonCompliant. "),
        ("Pending", Reason.POLICY_NOT_COMPLIANT, "cluster3: Policy ns/fl-site is Pending. "),
        ("", Reason.POLICY_UNKNOWN, "cluster3: Policy ns/fl-site has no status yet. "),
        (None, Reason.POLICY_UNKNOWN, "cluster3: Policy ns/fl-site is not placed on it. "),
    ],
)
def test_a_cluster_that_does_not_comply_loses_its_collaborator_and_is_no_longer_admitted(
    third: str | None, reason: Reason, words: str
) -> None:
    world = requiring(third)
    plan = decide(world, NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]
    assert participants(world) == ["cluster1", "cluster2"]
    assert plan.status is not None
    first = plan.status.collaborators[0]
    assert (first.cluster, first.state, first.reason) == ("cluster3", "Failed", reason)
    assert first.message.startswith(words)
    assert [(e.type, e.reason) for e in plan.events][:2] == [("Normal", "ClusterRemoved"), ("Warning", reason)]


def test_a_cluster_that_complies_again_takes_part_again() -> None:
    without = requiring("NonCompliant")
    kept = {name: work for name, work in without.works.items() if name != "cluster3"}
    back = requiring("Compliant", works=kept, run=run(status_after(without), client={"requirePolicies": [ONE]}))
    assert participants(back) == ["cluster1", "cluster2", "cluster3"]
    assert [w["metadata"]["namespace"] for w in applied(decide(back, NOW), "ManifestWork")] == ["cluster1", "cluster2", "cluster3"]
    assert status_after(back).collaborators[2].reason == ""


def test_a_policy_that_no_cluster_has_excludes_all() -> None:
    world = requiring(None, compliance={}, works={})
    assert participants(world) == []
    plan = decide(world, NOW)
    assert applied(plan, "ManifestWork") == []
    assert plan.status is not None
    assert {c.reason for c in plan.status.collaborators} == {Reason.POLICY_UNKNOWN}
    assert "Policy ns/fl-site is placed on no cluster" in plan.status.message


def test_all_policies_must_be_met_and_each_failing_one_is_named() -> None:
    asks = run(status_after(fresh()), client={"requirePolicies": [ONE, OTHER]})
    both = compliance("NonCompliant") | compliance(None, "governance.fl-images")
    plan = decide(requiring(None, run=asks, compliance=both), NOW)
    assert plan.status is not None
    first = plan.status.collaborators[0]
    assert first.reason == Reason.POLICY_NOT_COMPLIANT
    assert "Policy ns/fl-site is NonCompliant; Policy governance/fl-images is not placed on it" in first.message


def test_the_name_of_a_policy_may_have_dots() -> None:
    asks = run(status_after(fresh()), client={"requirePolicies": [{"name": "fl.site.v2"}]})
    first = status_after(requiring(None, run=asks, compliance=compliance("Pending", "ns.fl.site.v2"))).collaborators[0]
    assert first.message.startswith("cluster3: Policy ns/fl.site.v2 is Pending")


def test_an_unchanged_compliance_writes_no_status() -> None:
    asked = {"requirePolicies": [ONE]}
    before = requiring("NonCompliant")
    plan = decide(requiring("NonCompliant", run=run(status_after(before), client=asked)), NOW)
    assert (plan.status, [e for e in plan.events if e.type == "Warning"]) == (None, [])


def test_a_run_without_required_policies_ignores_them() -> None:
    world = running(compliance=compliance("NonCompliant"))
    assert participants(world) == ["cluster1", "cluster2", "cluster3"]
