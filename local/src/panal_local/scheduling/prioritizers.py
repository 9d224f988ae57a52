"""The scheduler's prioritizers, which order the clusters that passed the filters.

A prioritizer gives each cluster a score between -100 and 100. Clusters are ordered by the weighted sum of the scores, then by name. All
clusters of the platform share one machine, so resource prioritizers score them equally. Scores of add-ons are not supported.
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
class Candidates:
    """The clusters of a Placement that passed the filters."""

    namespace: str
    placement: str
    clusters: Sequence[Object]
    hub: Hub


def scores(policy: Mapping[str, Any], candidates: Candidates) -> Scores:
    """The score of each cluster by spec.prioritizerPolicy. Raises MisconfiguredError."""
    total = Counter(dict.fromkeys(map(name_of, candidates.clusters), 0))
    for built_in, weight in _weights(policy).items():
        given = BUILT_IN[built_in](candidates) if weight else {}
        for cluster in total:
            total[cluster] += given.get(cluster, 0) * weight
    return total


def _weights(policy: Mapping[str, Any]) -> dict[str, int]:
    """The weights by prioritizer. If one is given twice, the last counts. Raises MisconfiguredError."""
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


def _balance(candidates: Candidates) -> Scores:
    """Prefers clusters with fewer decisions of other Placements."""
    counts = candidates.hub.selected_by_others(candidates.namespace, candidates.placement)
    most = max(counts.values(), default=0)
    by_count = {count: 2 * int(MAX_SCORE * (0.5 - count / most)) for count in set(counts.values())}
    return {name: by_count[counts[name]] if name in counts else MAX_SCORE for name in map(name_of, candidates.clusters)}


def _steady(candidates: Candidates) -> Scores:
    """Prefers clusters that are already selected."""
    return dict.fromkeys(candidates.hub.selected_by(candidates.namespace, candidates.placement), MAX_SCORE)


def _equal(candidates: Candidates) -> Scores:
    return {}


BUILT_IN: Mapping[str, Callable[[Candidates], Scores]] = {
    "Balance": _balance,
    "Steady": _steady,
    "ResourceAllocatableCPU": _equal,
    "ResourceAllocatableMemory": _equal,
}
