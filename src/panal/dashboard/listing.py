"""Filter, order and page of a list, as a viewer asks for them in the address. Pure.

What is not understood in an address is ignored: it shows the list without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from panal.api.comparison import direction
from panal.dashboard.rows import PHASES, ClusterRow, RunRow

Row = TypeVar("Row", RunRow, ClusterRow)
SIZE = 50  # rows of a page
LONGEST = 200  # characters of a filter
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


def _by_metric(row: RunRow) -> tuple[bool, str, float, str]:
    """By the metric's name, and of the same metric the best value first, as far as its name says which is better."""
    name, _, text = row.metric.rpartition(", ")[2].rpartition(" ")  # of an evaluation the worst site, after the spread
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    rank = value * -(direction(name) or 1)
    return not row.metric, name, rank if math.isfinite(rank) else math.inf, row.name


RUN_ORDERS: dict[str, Callable[[RunRow], Any]] = {
    "age": lambda row: -(row.created.timestamp() if row.created else 0.0),
    "name": lambda row: (row.name, row.namespace),
    "namespace": lambda row: (row.namespace, row.name),
    "phase": lambda row: (("Running", "Waiting", "Failed", "Completed").index(row.phase), row.name),
    "progress": lambda row: (-row.progress, row.name),
    "metric": _by_metric,
}
CLUSTER_ORDERS: dict[str, Callable[[ClusterRow], Any]] = {
    "name": lambda row: row.name,
    "state": lambda row: ({False: 0, None: 1, True: 2}[row.available], row.name),
    "addon": lambda row: (row.addon == "Ready", row.addon, row.name),
    "certificate": lambda row: (row.until or _NEVER, row.name),
    "cpu": lambda row: (-row.cpu, row.name),
    "memory": lambda row: (-row.memory, row.name),
}
STATES = ("Available", "Unavailable", "Unknown", "Not accepted")


@dataclass(frozen=True, slots=True)
class Query:
    """`state` is the phase of runs, or the state of clusters. `cluster` and `namespace` concern runs, `cluster_set` clusters."""

    text: str = ""
    state: str = ""
    namespace: str = ""
    cluster: str = ""
    cluster_set: str = ""
    order: str = ""
    reverse: bool = False
    page: int = 1

    @classmethod
    def of(cls, asked: Mapping[str, str], states: Sequence[str] = PHASES) -> Query:
        words = {name: asked.get(name, "")[:LONGEST].strip() for name in ("text", "state", "namespace", "cluster", "set", "order", "page")}
        return cls(
            text=words["text"].lower(),
            state=words["state"] if words["state"] in states else "",
            namespace=words["namespace"],
            cluster=words["cluster"],
            cluster_set=words["set"],
            order=words["order"].removeprefix("-"),
            reverse=words["order"].startswith("-"),
            page=max(1, int(words["page"])) if words["page"].isascii() and words["page"].isdigit() and len(words["page"]) < 7 else 1,
        )

    def address(self, **changes: object) -> str:
        """The query of an address with these changes; without what is as it is anyway."""
        now = replace(self, **changes) if changes else self  # type: ignore[arg-type]
        order = f"{'-' if now.reverse else ''}{now.order}" if now.order else ""
        page = str(now.page) if now.page > 1 else ""
        words = {"text": now.text, "state": now.state, "namespace": now.namespace, "cluster": now.cluster, "set": now.cluster_set}
        return urlencode({name: value for name, value in {**words, "order": order, "page": page}.items() if value})

    def ordered_by(self, order: str) -> str:
        """The query of an address with this order; the other way round if it is this order already."""
        return self.address(order=order, reverse=self.order == order and not self.reverse, page=1)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """`matching`: rows on all pages. `total`: rows without a filter."""

    rows: Sequence[Row]
    number: int
    pages: int
    matching: int
    total: int

    @property
    def first(self) -> int:
        return (self.number - 1) * SIZE + 1 if self.matching else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.matching else 0


def of_runs(rows: Sequence[RunRow], query: Query) -> Page[RunRow]:
    found = [row for row in rows if _run_matches(row, query)] if query.address(page=1, order="") else list(rows)
    return _page(found, query, RUN_ORDERS.get(query.order, RUN_ORDERS["age"]), len(rows))


def of_clusters(rows: Sequence[ClusterRow], query: Query) -> Page[ClusterRow]:
    found = [row for row in rows if _cluster_matches(row, query)]
    return _page(found, query, CLUSTER_ORDERS.get(query.order, CLUSTER_ORDERS["name"]), len(rows))


def _page(found: list[Row], query: Query, key: Callable[[Row], Any], total: int) -> Page[Row]:
    found.sort(key=key, reverse=query.reverse)
    pages = max(1, -(-len(found) // SIZE))
    number = min(query.page, pages)
    return Page(found[(number - 1) * SIZE : number * SIZE], number, pages, len(found), total)


def _run_matches(row: RunRow, query: Query) -> bool:
    return (
        (not query.state or row.phase == query.state)
        and (not query.namespace or row.namespace == query.namespace)
        and (not query.cluster or query.cluster in row.clusters)
        and (not query.text or query.text in row.text)
    )


def _cluster_matches(row: ClusterRow, query: Query) -> bool:
    return (
        (not query.state or row.state == query.state)
        and (not query.cluster_set or row.cluster_set == query.cluster_set)
        and (not query.text or query.text in row.text)
    )
