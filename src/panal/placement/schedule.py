"""The placement scheduler: what a Placement selects, and what its status says of it.

One pass goes the way of Open Cluster Management's own: bound sets, their clusters, predicates, taints, scores, the number wanted,
groups. It reads nothing but its arguments and writes nothing; the caller writes the Outcome, decisions first and the status after,
and comes back at `Outcome.requeue` or when something changes that the pass has read (docs/design/placement.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.placement import conditions
from panal.placement.conditions import Condition, Counts
from panal.placement.filters import by_predicates, by_taints
from panal.placement.groups import Decision, group
from panal.placement.hub import DISABLED_ANNOTATION, Hub, Object, name_of, namespace_of
from panal.placement.prioritizers import Contest, weighted
from panal.placement.selectors import MisconfiguredError
from panal.placement.times import END_OF_TIME, moment, nanoseconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has to be there after a pass: these PlacementDecisions and no other ones with the Placement's label, then this status.

    `requeue` is when a toleration of a selected cluster ends. `scores` are the totals of all clusters that passed the filters.
    A `warning` (scores that have expired) changes nothing in the outcome.
    """

    decisions: tuple[Decision, ...]
    selected: int
    groups: tuple[Mapping[str, Any], ...]
    conditions: tuple[Condition, Condition]
    requeue: datetime | None = None
    scores: Mapping[str, int] = field(default_factory=dict)
    warning: str = ""

    def status(self, previous: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """The Placement's status; equal to `previous` if there is nothing to write."""
        return dict(previous) | {
            "numberOfSelectedClusters": self.selected,
            "decisionGroups": [dict(each) for each in self.groups],
            "conditions": conditions.merged(self.conditions, previous.get("conditions") or (), now),
        }


@dataclass(frozen=True, slots=True)
class _Pass:
    """What the scheduler's own part of a pass comes to; `wrong` is what the condition Misconfigured says."""

    selected: Sequence[Object] = ()
    unscheduled: int = 0
    scores: Mapping[str, int] = field(default_factory=dict)
    until: Mapping[str, int] = field(default_factory=dict)
    wrong: str = ""
    warning: str = ""


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
    result = _select(placement, available, hub, nanoseconds(now))
    strategy = (spec.get("decisionStrategy") or {}).get("groupStrategy") or {}
    grouped = group(name_of(placement), strategy, result.selected, hub)
    wrong = f":{grouped.wrong.official}" if grouped.wrong else result.wrong
    counts = Counts(wanted, bound, eligible, len(available), len(result.selected), result.unscheduled)
    return Outcome(
        decisions=grouped.decisions,
        selected=len(result.selected),
        groups=grouped.status,
        conditions=(conditions.misconfigured(wrong), conditions.satisfied(counts)),
        requeue=_requeue(result),
        scores=result.scores,
        warning=result.warning,
    )


def _available(eligible: Sequence[str], hub: Hub) -> list[Object]:
    """Members of the sets that are not being deleted. Whether a cluster is accepted or reachable is not asked; taints tell that."""
    members = {name_of(cluster): cluster for set_name in eligible for cluster in hub.members(set_name)}
    return [cluster for cluster in members.values() if not cluster["metadata"].get("deletionTimestamp")]


def _select(placement: Object, available: Sequence[Object], hub: Hub, now: int) -> _Pass:
    spec, namespace, name = placement.get("spec") or {}, namespace_of(placement), name_of(placement)
    plugin = "Predicate"
    try:
        matching = by_predicates(spec, available, hub)
        plugin = "TaintToleration"
        tolerated = by_taints(spec, matching, hub.selected_by(namespace, name), now)
        plugin = ""
        prioritizers = weighted(spec.get("prioritizerPolicy") or {})
    except MisconfiguredError as error:
        return _Pass(wrong=f"{plugin}:{error.official}")
    contest = Contest(namespace, name, tolerated.clusters, hub, now)
    scores: Counter[str] = Counter(dict.fromkeys(map(name_of, tolerated.clusters), 0))
    warning = ""
    for prioritizer, weight in prioritizers:
        given, problem = prioritizer.score(contest)
        for cluster in scores:
            scores[cluster] += given.get(cluster, 0) * weight
        warning = problem or warning
    ordered = sorted(tolerated.clusters, key=lambda cluster: (-scores[name_of(cluster)], name_of(cluster)))
    number = spec.get("numberOfClusters")
    selected = ordered if number is None else ordered[: max(number, 0)]
    return _Pass(selected, 0 if number is None else max(number, 0) - len(selected), scores, tolerated.until, warning=warning)


def _requeue(result: _Pass) -> datetime | None:
    ends = min((result.until.get(name_of(cluster), END_OF_TIME) for cluster in result.selected), default=END_OF_TIME)
    return moment(ends) if ends < END_OF_TIME else None
