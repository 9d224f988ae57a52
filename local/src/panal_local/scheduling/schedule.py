"""The placement scheduler: the clusters that a Placement selects, and its status.

The steps are those of Open Cluster Management: bound sets, their clusters, predicates, taints, scores, the number of clusters. The function
is pure. The caller writes the decisions, then the status, and calls it again at `Outcome.requeue` or when its input changes. Decision
groups are not supported, since a run uses all groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.placement.hub import DISABLED_ANNOTATION, PLACEMENT_LABEL, Hub, Object, name_of, namespace_of
from panal.placement.prioritizers import Candidates, ordered, scored, totals
from panal.placement.selectors import MisconfiguredError
from panal_local.scheduling import conditions
from panal_local.scheduling.conditions import Condition, Counts
from panal_local.scheduling.filters import by_predicates, by_taints

MAX_DECISIONS = 100  # in one PlacementDecision


@dataclass(frozen=True, slots=True)
class Decision:
    """A PlacementDecision in the namespace of its Placement, which is its controller."""

    name: str
    labels: Mapping[str, str]
    clusters: tuple[str, ...]

    @property
    def status(self) -> dict[str, Any]:
        return {"decisions": [{"clusterName": name, "reason": ""} for name in self.clusters]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """All PlacementDecisions of the Placement, and its status.

    `selected` is the number of clusters, `requeue` the time at which a toleration of a selected cluster ends.
    """

    decisions: tuple[Decision, ...]
    selected: int
    conditions: tuple[Condition, Condition]
    requeue: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Pass:
    """The result of the selection. `problem` is the message of the condition Misconfigured."""

    selected: Sequence[Object] = ()
    unscheduled: int = 0
    until: Mapping[str, datetime] = field(default_factory=dict)
    problem: str = ""


def schedule(placement: Object, hub: Hub, now: datetime) -> Outcome | None:
    """Returns None if nothing must be written: the Placement is being deleted, or its scheduling is disabled.

    Raises MisconfiguredError if the label selector of a ManagedClusterSet is invalid. Nothing must be written then either.
    """
    metadata, spec = placement["metadata"], placement.get("spec") or {}
    if metadata.get("deletionTimestamp") or (metadata.get("annotations") or {}).get(DISABLED_ANNOTATION) == "true":
        return None
    wanted, bound = spec.get("clusterSets") or (), hub.bound_sets(namespace_of(placement))
    eligible = sorted({name for name in bound if not wanted or name in wanted})
    available = _available(eligible, hub)
    result = _select(placement, available, hub, now)
    counts = Counts(wanted, bound, eligible, len(available), len(result.selected), result.unscheduled)
    return Outcome(
        decisions=_decisions(name_of(placement), result.selected),
        selected=len(result.selected),
        conditions=(conditions.misconfigured(result.problem), conditions.satisfied(counts)),
        requeue=_requeue(result),
    )


def _available(eligible: Sequence[str], hub: Hub) -> list[Object]:
    """The clusters of the sets, without those being deleted. Taints exclude unavailable clusters later."""
    members = {name_of(cluster): cluster for set_name in eligible for cluster in hub.members(set_name)}
    return [cluster for cluster in members.values() if not cluster["metadata"].get("deletionTimestamp")]


def _select(placement: Object, available: Sequence[Object], hub: Hub, now: datetime) -> _Pass:
    spec, namespace, name = placement.get("spec") or {}, namespace_of(placement), name_of(placement)
    try:
        matching = by_predicates(spec, available)
        tolerated = by_taints(spec, matching, hub.selected_by(namespace, name), now)
        given = scored(spec.get("prioritizerPolicy") or {}, Candidates(namespace, name, tolerated.clusters, hub, now))
    except MisconfiguredError as error:
        return _Pass(problem=str(error))
    best = ordered(tolerated.clusters, totals(given, tolerated.clusters))
    number = spec.get("numberOfClusters")
    selected = best if number is None else best[: max(number, 0)]
    return _Pass(selected, 0 if number is None else max(number, 0) - len(selected), tolerated.until)


def _decisions(placement: str, selected: Sequence[Object]) -> tuple[Decision, ...]:
    """The decisions, with clusters by name. Without clusters there is one empty decision."""
    names = sorted(str(name_of(cluster)) for cluster in selected)
    parts = [tuple(names[start : start + MAX_DECISIONS]) for start in range(0, max(len(names), 1), MAX_DECISIONS)]
    return tuple(Decision(f"{placement}-decision-{n}", {PLACEMENT_LABEL: placement}, part) for n, part in enumerate(parts, start=1))


def _requeue(result: _Pass) -> datetime | None:
    return min((result.until[name] for name in map(name_of, result.selected) if name in result.until), default=None)
