"""From the selected clusters to decision groups, and to the PlacementDecisions that hold them.

Groups that the Placement names come first, in its order; what they leave forms groups without a name. A group that is too long is cut;
so is, into several objects, a group of more than 100 clusters. Inside a group clusters stand in the order of their names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from panal.api.names import ClusterName
from panal.placement.filters import compile_selector
from panal.placement.hub import GROUP_INDEX_LABEL, GROUP_NAME_LABEL, PLACEMENT_LABEL, Hub, Object, name_of
from panal.placement.selectors import MisconfiguredError

MAX_DECISIONS = 100  # in one object


@dataclass(frozen=True, slots=True)
class Decision:
    """A PlacementDecision as it has to be; its namespace is the Placement's, which owns and controls it."""

    name: str
    labels: Mapping[str, str]
    clusters: tuple[ClusterName, ...]

    @property
    def status(self) -> dict[str, Any]:
        return {"decisions": [{"clusterName": name, "reason": ""} for name in self.clusters]}


@dataclass(frozen=True, slots=True)
class Grouped:
    """`status` is the Placement's status.decisionGroups. With `wrong`, only what came before the mistake is there."""

    decisions: tuple[Decision, ...]
    status: tuple[Mapping[str, Any], ...]
    wrong: MisconfiguredError | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    name: str = ""
    clusters: tuple[ClusterName, ...] = ()


@dataclass(slots=True)
class _Groups:
    made: list[_Group] = field(default_factory=list)

    def add(self, name: str, clusters: Iterable[Object], length: int) -> None:
        names = sorted(ClusterName(name_of(cluster)) for cluster in clusters)
        self.made += [_Group(name, tuple(names[start : start + length])) for start in range(0, len(names), length)]


def group(placement: str, strategy: Mapping[str, Any], selected: Sequence[Object], hub: Hub) -> Grouped:
    """`strategy` is spec.decisionStrategy.groupStrategy."""
    groups, wrong = _Groups(), None
    try:
        _divide(groups, strategy, selected, hub)
    except MisconfiguredError as error:
        wrong = error
    decisions: list[Decision] = []
    status: list[Mapping[str, Any]] = []
    for index, one in enumerate(groups.made):
        objects = _objects(placement, one, index, len(decisions) + 1)
        decisions += objects
        status.append(_status(one, index, objects))
    return Grouped(tuple(decisions), tuple(status), wrong)


def _divide(groups: _Groups, strategy: Mapping[str, Any], selected: Sequence[Object], hub: Hub) -> None:
    length = _length(strategy.get("clustersPerDecisionGroup", 0), len(selected))
    left = list(selected)
    for number, wanted in enumerate(strategy.get("decisionGroups") or ()):
        path = f"decisionStrategy.groupStrategy.decisionGroups[{number}].groupClusterSelector"
        raw = wanted.get("groupClusterSelector") or {}
        selector = compile_selector({key: raw.get(key) for key in ("labelSelector", "claimSelector")}, path, hub)
        taken = [selector.met(cluster, hub) for cluster in left]
        groups.add(wanted.get("groupName", ""), (cluster for cluster, mine in zip(left, taken) if mine), length)
        left = [cluster for cluster, mine in zip(left, taken) if not mine]
    groups.add("", left, length)
    if not groups.made:
        groups.made.append(_Group())  # one object without a cluster says that nothing is selected


def _length(wanted: int | str, total: int) -> int:
    """Of a group; at least 1, so that it can be a step."""
    if isinstance(wanted, str):
        wanted = math.ceil(_percentage(wanted) / 100 * total)
    return wanted if 0 < wanted <= total else max(total, 1)


def _percentage(text: str) -> float:
    try:
        return float(text.removesuffix("%") if text.endswith("%") else "")
    except ValueError:
        raise MisconfiguredError(
            f'decisionStrategy.groupStrategy.clustersPerDecisionGroup: "{text}" is neither a number nor a percentage',
            f"{text} invalid type: string is not a percentage",
        ) from None


def _objects(placement: str, one: _Group, index: int, number: int) -> list[Decision]:
    labels = {PLACEMENT_LABEL: placement, GROUP_NAME_LABEL: one.name, GROUP_INDEX_LABEL: str(index)}
    starts = range(0, max(len(one.clusters), 1), MAX_DECISIONS)
    return [
        Decision(f"{placement}-decision-{number + offset}", labels, one.clusters[start : start + MAX_DECISIONS])
        for offset, start in enumerate(starts)
    ]


def _status(one: _Group, index: int, objects: Sequence[Decision]) -> Mapping[str, Any]:
    return {
        "decisionGroupIndex": index,
        "decisionGroupName": one.name,
        "decisions": [decision.name for decision in objects],
        "clusterCount": len(one.clusters),
    }
