"""Which clusters a Placement selects, with the reason for each, and what would make it qualify.

Goes through the steps of Open Cluster Management's scheduler (bound sets, predicates, taints, scores, the number of clusters) over objects
of the hub. The PlacementDecisions, where they exist, are the truth: each standing says what was decided beside what was found here.

A predicate with CEL is evaluated by a function of the caller. Where it cannot tell, nothing is claimed: a cluster is then NOT_EVALUATED,
and so are clusters whose rank depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from panal.placement import obstacles
from panal.placement.changes import Gap, gaps
from panal.placement.hub import Hub, Object, claims_of, labels_of, name_of
from panal.placement.obstacles import Obstacle
from panal.placement.predicates import Predicate, compile_predicates
from panal.placement.prioritizers import Candidates, Scored, expired, ordered, scored, totals
from panal.placement.selectors import MisconfiguredError, Requirement
from panal.placement.sets import nothing_bound, outside, requirements
from panal.placement.taints import Toleration, compile_tolerations

Cel = Callable[[str, Object], bool | None]  # an expression over a ManagedCluster; None if that cannot be told
ANYTHING = Predicate("", (), ())


class Verdict(StrEnum):
    SELECTED = "Selected"
    OUTSCORED = "Outscored"  # it qualifies, and numberOfClusters others come before it
    NOT_QUALIFIED = "NotQualified"
    NOT_EVALUATED = "NotEvaluated"


@dataclass(frozen=True, slots=True)
class Standing:
    """One cluster. `decided`: whether it is in the PlacementDecisions; None if there are none. `scores` are by prioritizer, without
    weights; `rank` counts from 1 among the clusters that qualify. `hidden_claims`: how many the cluster reports, if it may have more."""

    cluster: str
    verdict: Verdict
    obstacles: tuple[Obstacle, ...] = ()
    notes: tuple[str, ...] = ()
    decided: bool | None = None
    scores: Mapping[str, int] = field(default_factory=dict)
    total: int | None = None
    rank: int | None = None
    hidden_claims: int = 0

    @property
    def otherwise(self) -> bool:
        """Whether Open Cluster Management decided otherwise than is found here."""
        if self.decided is None or self.verdict is Verdict.NOT_EVALUATED:
            return False
        return self.decided != (self.verdict is Verdict.SELECTED)


@dataclass(frozen=True, slots=True)
class Selection:
    """`problem` concerns all clusters at once. `hints` are about the Placement. `prioritizers` have the weights."""

    standings: Sequence[Standing]
    problem: str = ""
    hints: tuple[str, ...] = ()
    prioritizers: Mapping[str, int] = field(default_factory=dict)


def explained(
    placement: Object, hub: Hub, now: datetime, cel: Cel, decided: Collection[str] | None = None, misconfigured: str = ""
) -> Selection:
    """`placement` need not exist. `decided`: the clusters in its PlacementDecisions; None if it has none yet. `misconfigured`: what Open
    Cluster Management says against it."""
    try:
        found = _explained(placement, hub, now, cel)
        if misconfigured and not found.problem:
            found = nowhere(hub, f"the placement is wrong: {misconfigured}")
    except MisconfiguredError as error:
        found = nowhere(hub, f"the placement is wrong: {error}", str(error))
    if decided is None:
        return found
    number = (placement.get("spec") or {}).get("numberOfClusters")
    return replace(found, standings=[_settled(each, each.cluster in decided, number, len(decided)) for each in found.standings])


def _explained(placement: Object, hub: Hub, now: datetime, cel: Cel) -> Selection:
    spec, namespace, name = placement.get("spec") or {}, placement["metadata"]["namespace"], name_of(placement)
    wanted, bound = spec.get("clusterSets") or (), hub.bound_sets(namespace)
    eligible = sorted({each for each in bound if not wanted or each in wanted})
    if not eligible:
        return nowhere(hub, nothing_bound(wanted, [name_of(each) for each in hub.sets], bound), "clusterSets")
    rules = _Rules(
        sets={each: required for each in eligible if (required := _requirements(hub, each)) is not None},
        outside=outside(wanted, eligible),
        predicates=compile_predicates(spec) or (ANYTHING,),
        tolerations=compile_tolerations(spec.get("tolerations") or ()),
        selected=hub.selected_by(namespace, name),
        now=now,
        cel=cel,
    )
    judged = [replace(rules.judge(cluster), hidden_claims=obstacles.hidden_claims(cluster)) for cluster in hub.clusters]
    candidates = [cluster for cluster, each in zip(hub.clusters, judged) if each.verdict is not Verdict.NOT_QUALIFIED]
    given = scored(spec.get("prioritizerPolicy") or {}, Candidates(namespace, name, candidates, hub, now))
    standings = _ranked(judged, candidates, given, spec.get("numberOfClusters"))
    weights = {str(each.coordinate): each.weight for each in given}
    noted = [_with_score_notes(each, given, hub, now) for each in standings]
    return Selection(noted, hints=(*obstacles.about_scores(spec, given), *obstacles.about_cel(rules.predicates)), prioritizers=weights)


def nowhere(hub: Hub, problem: str, path: str = "") -> Selection:
    """No cluster qualifies, because of `problem`; `path` begins with the field of the Placement's spec that is wrong."""
    obstacle = Obstacle(obstacles.Cause.PLACEMENT, path.partition(":")[0], problem, "Correct spec.client.placement.")
    return Selection([Standing(name_of(cluster), Verdict.NOT_QUALIFIED, (obstacle,)) for cluster in hub.clusters], problem)


def _requirements(hub: Hub, name: str) -> tuple[Requirement, ...] | None:
    try:
        return requirements(hub.set_named(name) or {"metadata": {"name": name}})
    except MisconfiguredError as error:
        raise MisconfiguredError(f"ManagedClusterSet {name}: {error}") from error


# --- one cluster -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Way:
    """One cluster set and one predicate by which a cluster may qualify, and what is missing."""

    cluster_set: str
    gaps: list[Gap]
    predicate: Predicate
    cel: bool | None

    @property
    def length(self) -> tuple[bool, int, bool]:
        """The shortest way comes first; ways that no known change opens come last."""
        return self.cel is False or any(gap.change is None for gap in self.gaps), len(self.gaps), self.cel is None


@dataclass(frozen=True, slots=True)
class _Rules:
    """`sets` are the eligible ones, with what they require."""

    sets: Mapping[str, tuple[Requirement, ...]]
    outside: str
    predicates: Sequence[Predicate]
    tolerations: Sequence[Toleration]
    selected: Collection[str]
    now: datetime
    cel: Cel

    def judge(self, cluster: Object) -> Standing:
        name, labels = name_of(cluster), labels_of(cluster)
        nearest = self._nearest(cluster)
        found = [] if nearest is None else self._missing(nearest, labels)
        if nearest is None:
            found = [Obstacle(obstacles.Cause.CLUSTER_SET, "clusterSets", self.outside, "Give the ManagedClusterSet a labelSelector.")]
        found += obstacles.deleting(cluster)
        kept_out, notes = obstacles.of_taints(cluster, self.tolerations, name in self.selected, self.now)
        found += kept_out
        undecided = nearest is not None and nearest.cel is None
        if undecided and nearest and not found:
            return Standing(name, Verdict.NOT_EVALUATED, (obstacles.unevaluated(nearest.predicate),), notes)
        if undecided and nearest:
            found.append(obstacles.unevaluated(nearest.predicate))
        return Standing(name, Verdict.NOT_QUALIFIED if found else Verdict.SELECTED, tuple(found), notes)

    def _nearest(self, cluster: Object) -> _Way | None:
        labels, claims = labels_of(cluster), claims_of(cluster)
        evaluated = [(predicate, self._evaluated(predicate, cluster)) for predicate in self.predicates]
        ways = (
            _Way(name, gaps((*required, *predicate.requirements), labels, claims), predicate, cel)
            for name, required in self.sets.items()
            for predicate, cel in evaluated
        )
        return min(ways, key=lambda way: way.length, default=None)

    def _evaluated(self, predicate: Predicate, cluster: Object) -> bool | None:
        results = [self.cel(expression, cluster) for expression in predicate.expressions]
        return False if False in results else None if None in results else True

    def _missing(self, way: _Way, labels: Mapping[str, str]) -> list[Obstacle]:
        required = self.sets[way.cluster_set]
        inside = any(all(r.met(labels) for r in each) for each in self.sets.values())
        outside = f"is not in the cluster set {way.cluster_set}" if inside else self.outside
        found = [obstacles.of_gap(gap, outside if any(r in required for r in gap.unmet) else "") for gap in way.gaps]
        return found + ([obstacles.of_cel(way.predicate)] if way.cel is False else [])


# --- all clusters ----------------------------------------------------------------------------------------------------
def _ranked(judged: list[Standing], candidates: list[Object], given: list[Scored], number: int | None) -> list[Standing]:
    """With the scores of the clusters that qualify, or may; and without those that are too many."""
    total = totals(given, candidates)
    order = [name_of(cluster) for cluster in ordered(candidates, total)]
    ranks = {name: rank for rank, name in enumerate(order, start=1)}
    doubtful = any(each.verdict is Verdict.NOT_EVALUATED for each in judged)
    most = len(order) if number is None else max(number, 0)

    def ranked(standing: Standing) -> Standing:
        name = standing.cluster
        if name not in ranks:
            return standing
        scores = {str(each.coordinate): each.scores.get(name, 0) for each in given}
        standing = replace(standing, scores=scores, total=total[name], rank=ranks[name])
        if most >= len(order) or standing.verdict is Verdict.NOT_EVALUATED:
            return standing
        if doubtful:
            return replace(standing, verdict=Verdict.NOT_EVALUATED, obstacles=(obstacles.doubtful_rank(most),))
        if ranks[name] > most:
            return replace(standing, verdict=Verdict.OUTSCORED, obstacles=(obstacles.outscored(most, ranks[name]),))
        return standing

    return list(map(ranked, judged))


def _with_score_notes(standing: Standing, given: Iterable[Scored], hub: Hub, now: datetime) -> Standing:
    if standing.rank is None:
        return standing
    notes = []
    for name in sorted({each.coordinate.name for each in given if each.coordinate.item is not None}):
        score = hub.scores_of(standing.cluster, name)
        if score is None:
            notes.append(f"has no AddOnPlacementScore {name}: its scores are 0")
        elif expired(score, now):
            notes.append(f"its AddOnPlacementScore {name} expired at {score['status']['validUntil']}: its scores are 0")
    return replace(standing, notes=(*standing.notes, *notes))


def _settled(standing: Standing, decided: bool, number: int | None, selected: int) -> Standing:
    """What is not evaluated here, the decision tells: all that is decided qualifies; and what is not, while there was room, does not."""
    standing = replace(standing, decided=decided)
    if standing.verdict is not Verdict.NOT_EVALUATED:
        return standing
    if decided:
        return replace(standing, verdict=Verdict.SELECTED, obstacles=())
    if number is None or selected < number:
        return replace(standing, verdict=Verdict.NOT_QUALIFIED, obstacles=tuple(map(obstacles.told_by_decision, standing.obstacles)))
    return standing
