"""The prioritizers of Open Cluster Management's scheduler, which order the clusters that passed the filters.

A prioritizer gives each cluster a score between -100 and 100. Clusters are ordered by the weighted sum of the scores, then by name. A score
of an add-on is an item of an AddOnPlacementScore in the cluster's namespace; without one, and after `validUntil`, it is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panal.api.quantity import exact
from panal.placement.hub import Hub, Object, name_of
from panal.placement.selectors import MisconfiguredError

MAX_SCORE = 100

Scores = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The clusters of a Placement that passed the filters."""

    namespace: str
    placement: str
    clusters: Sequence[Object]
    hub: Hub
    now: datetime


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A built-in prioritizer, or the score `item` in the AddOnPlacementScores named `name`. `field` of the Placement's spec names it."""

    name: str
    item: str | None = None
    field: str = ""

    def __str__(self) -> str:
        return self.name if self.item is None else f"{self.name}/{self.item}"


@dataclass(frozen=True, slots=True)
class Scored:
    """What one prioritizer says of the clusters; those without a score have 0."""

    coordinate: Coordinate
    weight: int
    scores: Scores


def totals(given: Iterable[Scored], clusters: Iterable[Object]) -> dict[str, int]:
    """The score of each cluster that orders them."""
    found = dict.fromkeys(map(name_of, clusters), 0)
    for each in given:
        for name in found:
            found[name] += each.scores.get(name, 0) * each.weight
    return found


def ordered(clusters: Iterable[Object], total: Mapping[str, int]) -> list[Object]:
    return sorted(clusters, key=lambda cluster: (-total[name_of(cluster)], name_of(cluster)))


def scored(policy: Mapping[str, Any], candidates: Candidates) -> list[Scored]:
    """The scores by spec.prioritizerPolicy. Raises MisconfiguredError."""
    return [Scored(coordinate, weight, _scores(coordinate, candidates)) for coordinate, weight in weights(policy)]


def weights(policy: Mapping[str, Any]) -> list[tuple[Coordinate, int]]:
    """The prioritizers that count, with their weights. Raises MisconfiguredError. If a built-in one is given twice, the last weight counts;
    a score of an add-on that is given twice counts twice, as in Open Cluster Management."""
    mode = policy.get("mode") or "Additive"
    if mode not in ("Additive", "Exact"):
        raise MisconfiguredError(f"prioritizerPolicy.mode: {mode} is neither Additive nor Exact")
    built_in = {name: (Coordinate(name), 1) for name in ("Balance", "Steady")} if mode == "Additive" else {}
    addons: list[tuple[Coordinate, int]] = []
    for number, configuration in enumerate(policy.get("configurations") or ()):
        weight = configuration.get("weight", 1)
        coordinate = _coordinate(configuration.get("scoreCoordinate") or {}, f"prioritizerPolicy.configurations[{number}]", weight)
        if coordinate.item is not None:
            addons.append((coordinate, weight))
        else:
            built_in[coordinate.name] = coordinate, weight
    return [(coordinate, weight) for coordinate, weight in [*built_in.values(), *addons] if weight]


def _coordinate(given: Mapping[str, Any], path: str, weight: int) -> Coordinate:
    """A coordinate without weight is not checked."""
    if given.get("type", "BuiltIn") != "BuiltIn":
        found = given.get("addOn") or {}
        if not found and weight:
            raise MisconfiguredError(f"{path}.scoreCoordinate.addOn: missing; type AddOn needs it")
        return Coordinate(str(found.get("resourceName", "")), str(found.get("scoreName", "")), path)
    name = str(given.get("builtIn") or "")
    if name not in BUILT_IN and weight:
        raise MisconfiguredError(f'{path}.scoreCoordinate.builtIn: "{name}" is not one of {", ".join(BUILT_IN)}')
    return Coordinate(name, field=path)


def _scores(coordinate: Coordinate, candidates: Candidates) -> Scores:
    item = coordinate.item
    if item is None:
        return BUILT_IN[coordinate.name](candidates)
    given = ((name_of(c), candidates.hub.scores_of(name_of(c), coordinate.name)) for c in candidates.clusters)
    return {name: _item(score, item) for name, score in given if score and not expired(score, candidates.now)}


def _item(score: Object, item: str) -> int:
    found = (score.get("status") or {}).get("scores") or ()
    return next((int(each["value"]) for each in found if each.get("name") == item), 0)


def expired(score: Object, now: datetime) -> bool:
    """Whether an AddOnPlacementScore no longer counts."""
    until = (score.get("status") or {}).get("validUntil")
    return until is not None and now > datetime.fromisoformat(until)


def _balance(candidates: Candidates) -> Scores:
    """Prefers clusters with fewer decisions of other Placements."""
    counts = candidates.hub.selected_by_others(candidates.namespace, candidates.placement)
    most = max(counts.values(), default=0)
    by_count = {count: 2 * int(MAX_SCORE * (0.5 - count / most)) for count in set(counts.values())}
    return {name: by_count[counts[name]] if name in counts else MAX_SCORE for name in map(name_of, candidates.clusters)}


def _steady(candidates: Candidates) -> Scores:
    """Prefers clusters that are already selected."""
    return dict.fromkeys(candidates.hub.selected_by(candidates.namespace, candidates.placement), MAX_SCORE)


def _allocatable(resource: str) -> Callable[[Candidates], Scores]:
    """Prefers clusters that offer more of a resource in all: the largest has 100, the smallest -100."""

    def scores(candidates: Candidates) -> Scores:
        found = {name_of(c): amount for c in candidates.clusters if (amount := _amount(c, resource)) is not None}
        least, most = min(found.values(), default=0.0), max(found.values(), default=0.0)
        if least == most:
            return dict.fromkeys(found, MAX_SCORE)
        return {name: int(((amount - least) / (most - least) - 0.5) * 2 * MAX_SCORE) for name, amount in found.items()}

    return scores


def _amount(cluster: Object, resource: str) -> float | None:
    """None if the cluster does not report the resource, or reports what is no quantity."""
    status = cluster.get("status") or {}
    given, capacity = ((status.get(part) or {}).get(resource) for part in ("allocatable", "capacity"))
    try:
        return None if given is None or capacity is None else float(exact(str(given)))
    except ValueError:
        return None


BUILT_IN: Mapping[str, Callable[[Candidates], Scores]] = {
    "Balance": _balance,
    "Steady": _steady,
    "ResourceAllocatableCPU": _allocatable("cpu"),
    "ResourceAllocatableMemory": _allocatable("memory"),
}
