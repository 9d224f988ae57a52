"""Why clusters do or do not qualify for a placement, in words for the status of a run that waits.

Open Cluster Management's scheduler only says how many clusters are missing. This module goes through the same steps (bound sets,
predicates, taints) over what is known of the clusters, and keeps the reasons. It decides nothing: the PlacementDecisions do. Two
questions it leaves open and says so: CEL expressions, and tolerations that end after a time.

Being accepted by the hub is no step of the scheduler's; but a cluster that is not accepted has no agent that could take part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from panal.api.names import ClusterName
from panal.placement.predicates import Predicate, compile_predicates
from panal.placement.selectors import MisconfiguredError, shorten
from panal.placement.sets import nothing_bound, outside
from panal.placement.taints import Taint, Toleration, compile_tolerations, keeping_out

SHOWN_REASONS = 2  # of one cluster
REASON_LENGTH = 200
CEL_UNKNOWN = "may not match celSelector"


class Cluster(Protocol):
    """What must be known of a ManagedCluster; `lifecycle.world.ClusterView` has it. `taints` are (key, value, effect)."""

    @property
    def name(self) -> ClusterName: ...
    @property
    def accepted(self) -> bool: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def claims(self) -> Mapping[str, str]: ...
    @property
    def taints(self) -> tuple[Taint, ...]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """`unmet` are the reasons against the cluster, `unknown` those that nobody can tell without the scheduler."""

    unmet: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    outside: bool = False  # in no eligible set: the least interesting of reasons

    @property
    def qualifies(self) -> bool:
        """As far as can be told."""
        return not self.unmet

    def text(self) -> str:
        reasons = (self.unmet or self.unknown)[:SHOWN_REASONS]
        return " and ".join(reason if len(reason) <= REASON_LENGTH else f"{reason[: REASON_LENGTH - 1]}…" for reason in reasons)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`problem` is what is wrong for all clusters at once: nothing bound, or a placement that is wrong in itself. `wrong` is then the
    field, such as `predicates[0].requiredClusterSelector`, and what is wrong with it."""

    verdicts: Mapping[ClusterName, Verdict] = field(default_factory=dict)
    problem: str = ""
    wrong: str = ""

    @property
    def qualifying(self) -> frozenset[ClusterName]:
        return frozenset(name for name, verdict in self.verdicts.items() if verdict.qualifies)

    def summary(self, limit: int = 3) -> str:
        """`1 of 3 clusters qualify: cluster3 lacks claim example.com/mnist; …`, with at most `limit` clusters named."""
        head = f"{len(self.qualifying)} of {len(self.verdicts)} cluster{'' if len(self.verdicts) == 1 else 's'} qualify"
        if self.problem:
            return f"{head}: {self.problem}"
        doubtful = sorted((v.outside, v.qualifies, name) for name, v in self.verdicts.items() if v.unmet or v.unknown)
        named = [f"{name} {self.verdicts[name].text()}" for _, _, name in doubtful[:limit]]
        more = f" and {len(doubtful) - len(named)} more" if len(doubtful) > len(named) else ""
        return f"{head}{': ' if named else ''}{'; '.join(named)}{more if named else ''}"


def explain(
    placement_spec: Mapping[str, Any],
    clusters: Mapping[ClusterName, Cluster],
    set_members: Mapping[str, frozenset[ClusterName]],
    bound_sets: Collection[str],
    selected: Collection[ClusterName] = (),
) -> Explanation:
    """Goes through all `clusters` of the hub. `bound_sets` are bound in the Placement's namespace, `selected` are in its decisions."""
    wanted = placement_spec.get("clusterSets") or ()
    eligible = frozenset(name for name in bound_sets if name in set_members and (not wanted or name in wanted))
    try:
        rules = _Rules(
            members=frozenset[ClusterName]().union(*(set_members[name] for name in eligible)),
            outside=outside(wanted, eligible),
            predicates=compile_predicates(placement_spec),
            tolerations=compile_tolerations(placement_spec.get("tolerations") or ()),
        )
    except MisconfiguredError as error:
        return replace(_none(clusters, f"the placement is wrong: {error}"), wrong=str(error))
    if not eligible:
        return _none(clusters, nothing_bound(wanted, set_members, bound_sets))
    return Explanation({name: rules.judge(cluster, name in selected) for name, cluster in clusters.items()})


def _none(clusters: Iterable[ClusterName], problem: str) -> Explanation:
    return Explanation(dict.fromkeys(clusters, Verdict((problem,))), problem)


@dataclass(frozen=True, slots=True)
class _Rules:
    members: frozenset[ClusterName]
    outside: str
    predicates: tuple[Predicate, ...]
    tolerations: tuple[Toleration, ...]

    def judge(self, cluster: Cluster, selected: bool) -> Verdict:
        if cluster.name not in self.members:
            return Verdict((self.outside,), outside=True)
        accepted = () if cluster.accepted else ("is not accepted by the hub",)
        unmet, unknown = self._predicates(cluster)
        surely, later = keeping_out(cluster.taints, self.tolerations, selected)
        return Verdict(
            unmet=(*accepted, *unmet, *(f"is tainted {_tainted(taint)}" for taint in surely)),
            unknown=(*unknown, *(f"may be tainted {_tainted(taint)} for longer than is tolerated" for taint in later)),
        )

    def _predicates(self, cluster: Cluster) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """One predicate met is enough; if none is, the nearest one tells what is lacking."""
        nearest: list[str] | None = None
        undecided = False
        for predicate in self.predicates:
            unmet = predicate.unmet(cluster.labels, cluster.claims)
            if not unmet and not predicate.expressions:
                return (), ()
            undecided |= not unmet
            nearest = unmet if nearest is None or len(unmet) < len(nearest) else nearest
        return ((), (CEL_UNKNOWN,)) if undecided else (tuple(nearest or ()), ())


def _tainted(taint: Taint) -> str:
    key, value, _ = taint
    return f"{key}={shorten(value)}" if value else key
