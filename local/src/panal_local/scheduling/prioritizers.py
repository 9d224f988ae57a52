"""The scheduler's prioritizers: which of the clusters that passed the filters come first.

A prioritizer gives each cluster a score between -100 and 100; the sum of scores times weights decides, then the name. Every cluster of
the platform offers the whole machine, so the prioritizers by resources score all clusters alike. Scores of add-ons are not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.placement.selectors import MisconfiguredError
from panal_local.scheduling.hub import Hub, Object, name_of

MAX_SCORE = 100

Scores = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Contest:
    """One pass for one Placement."""

    namespace: str
    placement: str
    clusters: Sequence[Object]
    hub: Hub


def scores(policy: Mapping[str, Any], contest: Contest) -> Scores:
    """The score of each cluster by spec.prioritizerPolicy; raises MisconfiguredError."""
    total = Counter(dict.fromkeys(map(name_of, contest.clusters), 0))
    for built_in, weight in _weights(policy).items():
        given = BUILT_IN[built_in](contest) if weight else {}
        for cluster in total:
            total[cluster] += given.get(cluster, 0) * weight
    return total


def _weights(policy: Mapping[str, Any]) -> dict[str, int]:
    """By the name of the prioritizer; of one that is given twice the last one counts."""
    mode = policy.get("mode") or "Additive"
    if mode not in ("Additive", "Exact"):
        raise MisconfiguredError(f"prioritizerPolicy.mode: {mode} is neither Additive nor Exact")
    weights = {"Balance": 1, "Steady": 1} if mode == "Additive" else {}
    for number, configuration in enumerate(policy.get("configurations") or ()):
        path = f"prioritizerPolicy.configurations[{number}].scoreCoordinate"
        weights[_built_in(configuration.get("scoreCoordinate") or {}, path)] = configuration.get("weight", 1)
    return weights


def _built_in(coordinate: Mapping[str, Any], path: str) -> str:
    if coordinate.get("type", "BuiltIn") != "BuiltIn":
        raise MisconfiguredError(f"{path}.type: the local platform knows no scores of add-ons; use BuiltIn")
    name = str(coordinate.get("builtIn") or "")
    if name not in BUILT_IN:
        raise MisconfiguredError(f'{path}.builtIn: "{name}" is not one of {", ".join(BUILT_IN)}')
    return name


def _balance(contest: Contest) -> Scores:
    """The fewer decisions of other Placements a cluster is in, the better."""
    counts = contest.hub.selected_by_others(contest.namespace, contest.placement)
    most = max(counts.values(), default=0)
    by_count = {count: 2 * int(MAX_SCORE * (0.5 - count / most)) for count in set(counts.values())}
    return {name: by_count[counts[name]] if name in counts else MAX_SCORE for name in map(name_of, contest.clusters)}


def _steady(contest: Contest) -> Scores:
    """Clusters that are selected stay selected."""
    return dict.fromkeys(contest.hub.selected_by(contest.namespace, contest.placement), MAX_SCORE)


def _alike(contest: Contest) -> Scores:
    return {}


BUILT_IN: Mapping[str, Callable[[Contest], Scores]] = {
    "Balance": _balance,
    "Steady": _steady,
    "ResourceAllocatableCPU": _alike,
    "ResourceAllocatableMemory": _alike,
}
