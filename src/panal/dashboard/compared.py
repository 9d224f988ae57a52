"""Another run beside the one that is looked at: which it is, and how the two differ.

It is a run of the same namespace that has ended, so it does not change while somebody looks. It is read with the viewer's own rights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from panal.api import names
from panal.api.comparison import Compared, changed_settings, compared
from panal.api.history import HistoryError, Round, of_config_map
from panal.api.status import ENDED, Phase, Status
from panal.api.text import shown
from panal.dashboard.rows import RunRow
from panal.dashboard.run import of_this_run, run_config, status_of
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import ApiError
from panal.kube.objects import Object, uid_of

OFFERED = 100  # runs to choose from
_FIRST = datetime.fromtimestamp(0, UTC)
_NUMBERED = re.compile(r"[-.]?\d[\d.-]*$")  # such as -2, or -2026-03-01


@dataclass(frozen=True, slots=True)
class Other:
    """The other run. `unread`: why its curves are not there."""

    name: str
    status: Status
    spec: Mapping[str, Any]
    created: str
    rounds: Sequence[Round] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`settings`: those in which the runs differ, the other run's value first."""

    other: Other
    metrics: Sequence[Compared]
    settings: Mapping[str, tuple[Any, Any]]


def offered(run: Object, rows: Iterable[RunRow]) -> list[str]:
    """The runs with which this one can be compared, the newest first."""
    metadata = run["metadata"]
    found = [row for row in _others(metadata, rows) if row.phase in ENDED]
    return [row.name for row in sorted(found, key=_age)][:OFFERED]


def usual(run: Object, created: datetime | None, rows: Iterable[RunRow]) -> str:
    """The newest earlier run of the same app that is Completed; empty if there is none."""
    metadata, image = run["metadata"], str(((run.get("spec") or {}).get("server") or {}).get("image") or "")
    found = [
        row
        for row in _others(metadata, rows)
        if row.phase == Phase.COMPLETED
        and row.created is not None
        and created is not None
        and row.created <= created
        and (app_of(row.image) == app_of(image) or base_of(row.name) == base_of(metadata["name"]))
    ]
    return min(found, key=_age).name if found else ""


def _others(metadata: Mapping[str, Any], rows: Iterable[RunRow]) -> list[RunRow]:
    """The other trainings of the namespace."""
    return [row for row in rows if row.namespace == metadata["namespace"] and row.name != metadata["name"] and not row.evaluates]


def _age(row: RunRow) -> tuple[float, str]:
    return -(row.created or _FIRST).timestamp(), row.name


def app_of(image: str) -> str:
    """An image without its tag and digest."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def base_of(name: str) -> str:
    """The name of a run without the number or the date at its end."""
    return _NUMBERED.sub("", name) or name


async def read(client: Client, namespace: str, name: str) -> Other:
    """Raises ApiError if there is no such run, or the viewer may not get it."""
    run = await client.get(kinds.FEDERATED_LEARNING, namespace, name)
    try:
        listed = await client.list(kinds.CONFIG_MAP, Selector(namespace, labels=f"{names.LABEL_RUN}={name}"))
        maps = [each for each in of_this_run(listed.items, uid_of(run)) if each["metadata"]["name"] == names.history(name)]
        history = of_config_map(maps[0]) if maps else None
        rounds, unread = history.rounds if history else [], ""
    except (ApiError, HistoryError) as error:
        rounds, unread = [], shown(f"the history of {name} cannot be read: {error}", 300)
    return Other(name, status_of(run), run.get("spec") or {}, str(run["metadata"].get("creationTimestamp") or ""), rounds, unread)


def comparison(run: Object, status: Status, other: Other) -> Comparison:
    changed = changed_settings(settings(other.spec), settings(run.get("spec") or {}))
    return Comparison(other, compared(numbers(other.status), numbers(status)), changed)


def numbers(status: Status) -> dict[str, Any]:
    return {shown(name, 80): value for name, value in {**status.metrics, **status.non_finite_metrics}.items()}


def settings(spec: Mapping[str, Any]) -> dict[str, str]:
    """What decides how a run trains: its run config, rounds, quorum and images."""
    server, client = spec.get("server") or {}, spec.get("client") or {}
    found = {"image": server.get("image"), "client image": client.get("image") if client.get("image") != server.get("image") else None}
    found |= {"rounds": server.get("rounds"), "minAvailableClients": server.get("minAvailableClients")}
    return {name: shown(str(value), 300) for name, value in found.items() if value is not None} | run_config(spec)
