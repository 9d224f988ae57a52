"""`panal.placement` against what the real placement controller said (recorded by tests/real/test_placement_golden.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import placement_fleets
import placement_outcomes
from placement_fleets import DISABLED

REASONS = {
    "NoManagedClusterSetBindings",
    "NoIntersection",
    "AllManagedClusterSetsEmpty",
    "NoManagedClusterMatched",
    "NotAllDecisionsScheduled",
    "AllDecisionsScheduled",
    "Misconfigured",
    "Succeedconfigured",
}


def test_the_outcomes_are_those_of_the_real_controller():
    ours = placement_outcomes.simulate(placement_fleets.fleets())
    different = placement_outcomes.differences(ours, placement_outcomes.read())
    assert not different, f"{len(different)} outcomes differ:\n" + "\n".join(different[:5])
    assert len(ours["1"]) >= 2000


def test_every_reason_and_every_kind_of_mistake_occurs():
    recorded = placement_outcomes.read()
    conditions = [c for state in recorded.values() for outcome in state.values() if outcome for c in outcome["conditions"]]
    assert {reason for _, _, reason, _ in conditions} == REASONS
    mistakes = {message.partition(":")[0] or message for _, _, reason, message in conditions if reason == "Misconfigured"}
    assert {"Predicate", "TaintToleration"} <= mistakes
    messages = " ".join(message for *_, message in conditions)
    for words in (
        "compilation failed",
        "builtin prioritizer",
        "addOn should not",
        "policy mode",
        "not a percentage",
        "the value should be",
    ):
        assert words in messages
    assert any(outcome is None for outcome in recorded["1"].values()), "scheduling that is switched off"
    assert any(len(outcome["decisions"]) > 1 and outcome["selected"] > 100 for outcome in recorded["1"].values() if outcome)
    assert recorded["1"] != recorded["2"] != recorded["3"]


def everything(value: Any) -> Iterator[tuple[str, Any]]:
    """All fields of a value, at any depth."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield str(key), each
        yield from everything(each)


def test_every_part_of_a_placement_and_of_a_cluster_occurs():
    fleets = placement_fleets.fleets()
    used = {(key, str(each)) for fleet in fleets for placement in fleet.placements for key, each in everything(placement)}
    keys = {key for key, _ in used}
    assert {"labelSelector", "claimSelector", "celSelector", "matchLabels", "clusterSets", "spreadPolicy", "tolerationSeconds"} <= keys
    assert {"decisionGroups", "clustersPerDecisionGroup", "numberOfClusters", "predicates", DISABLED} <= keys
    operators = {value for key, value in used if key == "operator"}
    assert operators == {"In", "NotIn", "Exists", "DoesNotExist", "Like", "Equal", ""}
    assert {value for key, value in used if key == "effect"} == {"NoSelect", "NoSelectIfNew", "PreferNoSelect"}
    assert {value for key, value in used if key == "mode"} == {"Additive", "Exact", "Fuzzy"}
    assert {"Balance", "Steady", "ResourceAllocatableCPU", "ResourceAllocatableMemory"} <= {v for k, v in used if k == "builtIn"}
    assert {value for key, value in used if key == "resourceName"} == {"load", "fresh", "old", "missing"}
    assert {*placement_fleets.CEL, *placement_fleets.WRONG_CEL} <= {value for _, value in used}
    taints = {t["effect"] for fleet in fleets for c in fleet.clusters for t in c["spec"].get("taints", ())}
    assert taints == {"NoSelect", "NoSelectIfNew", "PreferNoSelect"}
    assert any("deletionTimestamp" in c["metadata"] for fleet in fleets for c in fleet.clusters)
