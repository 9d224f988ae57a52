"""The two conditions of a Placement, with the reasons and messages of Open Cluster Management's scheduler. Without times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Condition = dict[str, str]

SATISFIED = "PlacementSatisfied"
MISCONFIGURED = "PlacementMisconfigured"


@dataclass(frozen=True, slots=True)
class Counts:
    """The input of the condition Satisfied: the cluster sets that the Placement names, that are bound, and both; and numbers of
    clusters."""

    wanted: Sequence[str]
    bound: Sequence[str]
    eligible: Sequence[str]
    available: int
    selected: int
    unscheduled: int


def satisfied(counts: Counts) -> Condition:
    """The condition Satisfied, with the first reason that applies."""
    if not counts.bound:
        return _unsatisfied("NoManagedClusterSetBindings", "No valid ManagedClusterSetBindings found in placement namespace")
    if not counts.eligible:
        return _unsatisfied("NoIntersection", f"None of ManagedClusterSets [{','.join(counts.wanted)}] is bound to placement namespace")
    if not counts.available:
        sets = ",".join(counts.eligible)
        return _unsatisfied("AllManagedClusterSetsEmpty", f"All ManagedClusterSets [{sets}] have no member ManagedCluster")
    if not counts.selected:
        return _unsatisfied("NoManagedClusterMatched", "No ManagedCluster matches any of the cluster predicate")
    if counts.unscheduled:
        return _unsatisfied("NotAllDecisionsScheduled", f"{counts.unscheduled} cluster decisions unscheduled")
    return _condition(SATISFIED, True, "AllDecisionsScheduled", "All cluster decisions scheduled")


def _unsatisfied(reason: str, message: str) -> Condition:
    return _condition(SATISFIED, False, reason, message)


def misconfigured(message: str) -> Condition:
    """The condition Misconfigured. `message` is empty for a valid Placement."""
    if message:
        return _condition(MISCONFIGURED, True, "Misconfigured", message)
    return _condition(MISCONFIGURED, False, "Succeedconfigured", "Placement configurations check pass")


def _condition(type_: str, status: bool, reason: str, message: str) -> Condition:
    return {"type": type_, "status": str(status), "reason": reason, "message": message}
