"""The placement scheduler: what a Placement selects, and what its status says of it.

One pass goes the way of Open Cluster Management's own: bound sets, their clusters, predicates, taints, scores, the number wanted. It reads
nothing but its arguments and writes nothing; the caller writes the Outcome, decisions first and the status after, and comes back at
`Outcome.requeue` or when something changes that the pass has read. Decision groups are not formed: a run uses all groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.placement.selectors import MisconfiguredError
from panal_local.scheduling import conditions
from panal_local.scheduling.conditions import Condition, Counts
from panal_local.scheduling.filters import by_predicates, by_taints
from panal_local.scheduling.hub import DISABLED_ANNOTATION, PLACEMENT_LABEL, Hub, Object, name_of, namespace_of
from panal_local.scheduling.prioritizers import Contest, scores

MAX_DECISIONS = 100  # in one object


@dataclass(frozen=True, slots=True)
class Decision:
    """A PlacementDecision as it has to be; its namespace is the Placement's, which owns and controls it."""

    name: str
    labels: Mapping[str, str]
    clusters: tuple[str, ...]

    @property
    def status(self) -> dict[str, Any]:
        return {"decisions": [{"clusterName": name, "reason": ""} for name in self.clusters]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has to be there after a pass: these PlacementDecisions and no other ones with the Placement's label, then the status.

    `selected` is the number of clusters, `requeue` when a toleration of a selected cluster ends.
    """

    decisions: tuple[Decision, ...]
    selected: int
    conditions: tuple[Condition, Condition]
    requeue: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Pass:
    """What the scheduler's own part of a pass comes to; `wrong` is what the condition Misconfigured says."""

    selected: Sequence[Object] = ()
    unscheduled: int = 0
    until: Mapping[str, datetime] = field(default_factory=dict)
    wrong: str = ""


def schedule(placement: Object, hub: Hub, now: datetime) -> Outcome | None:
    """None: nothing may be written, for the Placement is being deleted or its scheduling is switched off.

    Raises MisconfiguredError where the label selector of a ManagedClusterSet is wrong: then nothing may be written either, and the real
    scheduler tries again until somebody mends the set.
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
        conditions=(conditions.misconfigured(result.wrong), conditions.satisfied(counts)),
        requeue=_requeue(result),
    )


def _available(eligible: Sequence[str], hub: Hub) -> list[Object]:
    """Members of the sets that are not being deleted. Whether a cluster is accepted or reachable is not asked; taints tell that."""
    members = {name_of(cluster): cluster for set_name in eligible for cluster in hub.members(set_name)}
    return [cluster for cluster in members.values() if not cluster["metadata"].get("deletionTimestamp")]


def _select(placement: Object, available: Sequence[Object], hub: Hub, now: datetime) -> _Pass:
    spec, namespace, name = placement.get("spec") or {}, namespace_of(placement), name_of(placement)
    try:
        matching = by_predicates(spec, available)
        tolerated = by_taints(spec, matching, hub.selected_by(namespace, name), now)
        scored = scores(spec.get("prioritizerPolicy") or {}, Contest(namespace, name, tolerated.clusters, hub))
    except MisconfiguredError as error:
        return _Pass(wrong=str(error))
    ordered = sorted(tolerated.clusters, key=lambda cluster: (-scored[name_of(cluster)], name_of(cluster)))
    number = spec.get("numberOfClusters")
    selected = ordered if number is None else ordered[: max(number, 0)]
    return _Pass(selected, 0 if number is None else max(number, 0) - len(selected), tolerated.until)


def _decisions(placement: str, selected: Sequence[Object]) -> tuple[Decision, ...]:
    """By name; one object without a cluster says that nothing is selected."""
    names = sorted(str(name_of(cluster)) for cluster in selected)
    parts = [tuple(names[start : start + MAX_DECISIONS]) for start in range(0, max(len(names), 1), MAX_DECISIONS)]
    return tuple(Decision(f"{placement}-decision-{n}", {PLACEMENT_LABEL: placement}, part) for n, part in enumerate(parts, start=1))


def _requeue(result: _Pass) -> datetime | None:
    return min((result.until[name] for name in map(name_of, result.selected) if name in result.until), default=None)
