"""The scheduler's prioritizers: which of the clusters that passed the filters come first.

A prioritizer gives each cluster a score between -100 and 100; the sum of scores times weights decides, then the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.placement.hub import Hub, Object, name_of
from panal.placement.quantity import approximate
from panal.placement.selectors import MisconfiguredError
from panal.placement.times import nanoseconds

MAX_SCORE = 100

Scores = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Contest:
    """One pass for one Placement. `now` is in nanoseconds since 1970."""

    namespace: str
    placement: str
    clusters: Sequence[Object]
    hub: Hub
    now: int


@dataclass(frozen=True, slots=True)
class Prioritizer:
    """What is scored, for `name` to say it: a built-in prioritizer, or a score of an AddOnPlacementScore."""

    name: str
    score: Callable[[Contest], tuple[Scores, str]]  # clusters without a score count as 0; the text is a warning


def weighted(policy: Mapping[str, Any]) -> list[tuple[Prioritizer, int]]:
    """The prioritizers of spec.prioritizerPolicy that have a weight; raises MisconfiguredError."""
    return [(_prioritizer(coordinate), weight) for coordinate, weight in _weights(policy) if weight]


def _weights(policy: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], int]]:
    """The coordinates and weights. Of a built-in prioritizer given twice the last one counts; scores of add-ons add up."""
    mode = policy.get("mode") or "Additive"
    if mode not in ("Additive", "Exact"):
        raise MisconfiguredError(
            f"prioritizerPolicy.mode: {mode} is neither Additive nor Exact", f"incorrect prioritizer policy mode: {mode}"
        )
    weights: dict[tuple[object, ...], tuple[Mapping[str, Any], int]] = {}
    for built_in in ("Balance", "Steady") if mode == "Additive" else ():
        weights["BuiltIn", built_in] = {"builtIn": built_in}, 1
    for number, configuration in enumerate(policy.get("configurations") or ()):
        coordinate = configuration.get("scoreCoordinate")
        if coordinate is None:
            raise MisconfiguredError(
                f"prioritizerPolicy.configurations[{number}].scoreCoordinate: missing", "scoreCoordinate field is required"
            )
        own = () if coordinate.get("addOn") is None else (number,)
        weights[coordinate.get("type") or "BuiltIn", coordinate.get("builtIn") or "", *own] = coordinate, configuration.get("weight", 1)
    return list(weights.values())


def _prioritizer(coordinate: Mapping[str, Any]) -> Prioritizer:
    built_in, add_on = coordinate.get("builtIn") or "", coordinate.get("addOn")
    if coordinate.get("type", "BuiltIn") == "BuiltIn":
        if built_in not in BUILT_IN:
            known = ", ".join(BUILT_IN)
            raise MisconfiguredError(
                f'prioritizerPolicy: builtIn "{built_in}" is not one of {known}', f"incorrect builtin prioritizer: {built_in}"
            )
        return Prioritizer(built_in, lambda contest: (BUILT_IN[built_in](contest), ""))
    if add_on is None:
        raise MisconfiguredError("prioritizerPolicy: type AddOn needs addOn", "addOn should not be empty")
    resource, score = add_on.get("resourceName", ""), add_on.get("scoreName", "")
    return Prioritizer(f"AddOn/{resource}/{score}", lambda contest: _add_on(contest, resource, score))


def _balance(contest: Contest) -> Scores:
    """The fewer decisions of other Placements a cluster is in, the better."""
    counts = contest.hub.selected_by_others(contest.namespace, contest.placement)
    most = max(counts.values(), default=0)
    by_count = {count: 2 * int(MAX_SCORE * (0.5 - count / most)) for count in set(counts.values())}
    return {name: by_count[counts[name]] if name in counts else MAX_SCORE for name in map(name_of, contest.clusters)}


def _steady(contest: Contest) -> Scores:
    """Clusters that are selected stay selected."""
    return dict.fromkeys(contest.hub.selected_by(contest.namespace, contest.placement), MAX_SCORE)


def _allocatable(resource: str) -> Callable[[Contest], Scores]:
    """The more of a resource is free, the better."""

    def score(contest: Contest) -> Scores:
        free = {name: amount for name, amount in ((name_of(c), _amount(c, resource)) for c in contest.clusters) if amount is not None}
        least, most = min(free.values(), default=0), max(free.values(), default=0)
        if least == most:
            return dict.fromkeys(free, MAX_SCORE)
        return {name: int(((amount - least) / (most - least) - 0.5) * 2.0 * 100.0) for name, amount in free.items()}

    return score


def _amount(cluster: Object, resource: str) -> float | None:
    """What can be allocated; unknown where the capacity is unknown as well."""
    status = cluster.get("status") or {}
    allocatable = (status.get("allocatable") or {}).get(resource)
    return None if allocatable is None or resource not in (status.get("capacity") or {}) else approximate(allocatable)


BUILT_IN: Mapping[str, Callable[[Contest], Scores]] = {
    "Balance": _balance,
    "Steady": _steady,
    "ResourceAllocatableCPU": _allocatable("cpu"),
    "ResourceAllocatableMemory": _allocatable("memory"),
}


def _add_on(contest: Contest, resource: str, score: str) -> tuple[Scores, str]:
    """A score that somebody else has given; one that has expired counts as none, with a warning."""
    scores: dict[str, int] = {}
    expired: list[str] = []
    for name in map(name_of, contest.clusters):
        status = contest.hub.scores_by_name.get((name, resource), {}).get("status") or {}
        until = status.get("validUntil")
        if until and contest.now > nanoseconds(until):
            expired.append(f"{name}/{resource}")
        else:
            scores[name] = next((item["value"] for item in status.get("scores") or () if item["name"] == score), 0)
    return scores, f"AddOnPlacementScores {' '.join(sorted(expired))} expired" if expired else ""
