"""The two conditions of a Placement, with the reasons and messages of Open Cluster Management's scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SATISFIED = "PlacementSatisfied"
MISCONFIGURED = "PlacementMisconfigured"


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: bool
    reason: str
    message: str

    def merged(self, previous: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
        """As it is written: the time of the last transition stays unless the condition's status has changed."""
        status = "True" if self.status else "False"
        same = previous is not None and previous.get("status") == status and previous.get("lastTransitionTime")
        since = previous["lastTransitionTime"] if previous and same else now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": self.type, "status": status, "reason": self.reason, "message": self.message, "lastTransitionTime": since}


@dataclass(frozen=True, slots=True)
class Counts:
    """What the condition Satisfied tells of: sets wanted by the Placement, bound in its namespace, eligible; numbers of clusters."""

    wanted: Sequence[str]
    bound: Sequence[str]
    eligible: Sequence[str]
    available: int
    selected: int
    unscheduled: int


def satisfied(counts: Counts) -> Condition:
    """The first reason that applies."""
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
    return Condition(SATISFIED, True, "AllDecisionsScheduled", "All cluster decisions scheduled")


def _unsatisfied(reason: str, message: str) -> Condition:
    return Condition(SATISFIED, False, reason, message)


def misconfigured(message: str) -> Condition:
    """`message` is empty if nothing is wrong."""
    if message:
        return Condition(MISCONFIGURED, True, "Misconfigured", message)
    return Condition(MISCONFIGURED, False, "Succeedconfigured", "Placement configurations check pass")


def merged(conditions: Iterable[Condition], previous: Iterable[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """The list to write: those that somebody else has set stay."""
    before = {each["type"]: dict(each) for each in previous}
    return list((before | {each.type: each.merged(before.get(each.type), now) for each in conditions}).values())
