"""Why each cluster was selected or not: what `panal explain` finds out, in groups, for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.api.parse import ParseError, parse_spec
from panal.api.text import shown
from panal.cli import selection_report
from panal.cli.explanation import Report
from panal.cli.reading import Reading
from panal.hub.addon import versions
from panal.kube.client import Client
from panal.kube.errors import ApiError
from panal.kube.objects import Object
from panal.kube.times import now_utc

ROWS = 100  # clusters that are selected
GROUPS = 20  # reasons
NAMED = 8  # clusters of a reason
_MESSAGES = {"Selected": "qualifies", "Outscored": "qualifies, and is not selected", "NotQualified": "does not qualify"}


@dataclass(frozen=True, slots=True)
class Group:
    """Clusters that are not selected for the same reasons; each with its message, the field of the run, and a remedy."""

    clusters: Sequence[str]
    reasons: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Selection:
    """`selected` and `one` are as `panal explain -o json` describes clusters. `one`: the cluster that was asked for."""

    counts: Mapping[str, int]
    needed: int
    problem: str
    notes: Sequence[str]
    selected: Sequence[Mapping[str, Any]]
    more: int
    groups: Sequence[Group]
    prioritizers: Sequence[str]
    one: Mapping[str, Any] | None
    asked: str


async def selection_of(client: Client, run: Object, cel: selection_report.Evaluator, cluster: str) -> Selection:
    """With the rights of `client`. Where the hub cannot be read, the notes say so."""
    try:
        client.speak(await versions.forms(client))
        spec = parse_spec(run)
        seen = await Reading(client).all(run, spec, planned=False)
    except (ApiError, ParseError) as error:
        return Selection({}, 0, "", [shown(str(error), 500)], [], 0, [], [], None, cluster)
    return selection(selection_report.report(run, spec, seen, False, now_utc(), cel), cluster)


def selection(report: Report, asked: str = "") -> Selection:
    found = report.as_json()
    clusters: list[dict[str, Any]] = found["clusters"]
    selected = sorted((each for each in clusters if _selected(each)), key=lambda each: (each["rank"] or 0, each["cluster"]))
    asked = asked.strip()
    return Selection(
        counts=found["summary"],
        needed=found["minAvailableClients"],
        problem=found["problem"],
        notes=found["notes"],
        selected=selected[:ROWS],
        more=max(0, len(selected) - ROWS),
        groups=_groups([each for each in clusters if not _selected(each)]),
        prioritizers=[f"{each['name']} × {each['weight']}" for each in found["prioritizers"]],
        one=next((each for each in clusters if each["cluster"] == asked), None) if asked else None,
        asked=shown(asked, 100),
    )


def _selected(cluster: Mapping[str, Any]) -> bool:
    """By Open Cluster Management's decision; where there is none, by what is found here."""
    return bool(cluster["verdict"] == "Selected" if cluster["decided"] is None else cluster["decided"])


def _groups(clusters: Sequence[Mapping[str, Any]]) -> list[Group]:
    """The most frequent reason first."""
    by_reason: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for each in clusters:
        reasons = tuple((one["message"], one["field"], one["remedy"]) for one in each["reasons"] or each["leftOut"])
        words = _MESSAGES.get(each["verdict"], "cannot be told from here")
        by_reason.setdefault(reasons or ((words, "", ""),), []).append(each["cluster"])
    order = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Group(sorted(names), reasons) for reasons, names in order[:GROUPS]]
