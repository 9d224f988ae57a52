"""The charts of a run, from its history. Pure.

One chart for each metric: the app's own value over all clusters, and the values that clusters reported. With more clusters than CLUSTERS,
those that the viewer names have a line of their own, then the worst of the last round, and the others are a band from lowest to highest.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence

from panal.api.comparison import direction
from panal.api.history import Round
from panal.api.progress import Metric
from panal.client.plotting import Points
from panal.dashboard.chart import OTHER, Chart, Line

CLUSTERS = 6  # lines of clusters in a chart
CHARTS = 24
OVERALL = "overall"
COUNTS = ("num-examples", "num_examples")  # amounts, not quality: the last charts


def charts(rounds: Sequence[Round], named: Collection[str] = (), other: tuple[str, Sequence[Round]] = ("", ())) -> list[Chart]:
    """One for each metric, the app's own metrics first, and last those that do not change. `named`: clusters to emphasise. `other`: name
    and rounds of a run to compare with."""
    overall, clusters = _series(rounds)
    name, before = other[0], _series(other[1])[0]
    order = sorted({*overall, *clusters}, key=lambda metric: (metric not in overall, metric in COUNTS, metric))
    found = [_chart(metric, overall.get(metric), clusters.get(metric, {}), named, (name, before.get(metric))) for metric in order[:CHARTS]]
    return sorted(found, key=lambda chart: chart.constant)


def _series(rounds: Sequence[Round]) -> tuple[dict[str, dict[int, float]], dict[str, dict[str, dict[int, float]]]]:
    """The values of each metric by round: of the app, and of each cluster."""
    overall: dict[str, dict[int, float]] = {}
    clusters: dict[str, dict[str, dict[int, float]]] = {}
    for each in rounds:
        for metric, value in each.metrics.items():
            overall.setdefault(metric, {})[each.round] = _number(value)
        for cluster, row in (each.clusters or {}).items():
            for metric, value in row.metrics.items():
                clusters.setdefault(metric, {}).setdefault(cluster, {})[each.round] = _number(value)
    return overall, clusters


def _number(value: Metric) -> float:
    return math.nan if isinstance(value, str) else float(value)


def _chart(
    metric: str, overall: Points | None, clusters: Mapping[str, Points], named: Collection[str], other: tuple[str, Points | None]
) -> Chart:
    own = sorted(with_a_line(metric, clusters, named))
    some = any(cluster in named for cluster in own)
    lines = [Line(OVERALL, overall, 0)] if overall else []
    for number, cluster in enumerate(own, 1):
        lines.append(Line(cluster, clusters[cluster], number, "" if not some else "strong" if cluster in named else "dim"))
    if other[1]:
        lines.append(Line(f"{other[0]} ({OVERALL})", other[1], OTHER))
    return Chart(metric, lines, _band([clusters[each] for each in clusters if each not in own]))


def with_a_line(metric: str, clusters: Mapping[str, Points], named: Collection[str]) -> list[str]:
    """The clusters with a line of their own."""
    wanted = [cluster for cluster in clusters if cluster in named][:CLUSTERS]
    sign = direction(metric) or 1

    def badness(cluster: str) -> tuple[bool, float, str]:
        known = [value for _, value in sorted(clusters[cluster].items()) if math.isfinite(value)]
        return bool(known), sign * known[-1] if known else 0.0, cluster

    rest = sorted((cluster for cluster in clusters if cluster not in wanted), key=badness)
    return [*wanted, *rest[: CLUSTERS - len(wanted)]]


def _band(others: Sequence[Points]) -> dict[int, tuple[float, float]]:
    values: dict[int, list[float]] = {}
    for points in others:
        for number, value in points.items():
            if math.isfinite(value):
                values.setdefault(number, []).append(value)
    return {number: (min(found), max(found)) for number, found in values.items()}


def table(chart: Chart, most: int) -> list[tuple[int, list[float | None]]]:
    """The values of a chart's lines in the last `most` rounds, the newest first: for screen readers, and to copy."""
    return [(number, [line.points.get(number) for line in chart.lines]) for number in reversed(chart.rounds[-most:])]


def as_csv(rounds: Sequence[Round]) -> str:
    """Every value of the history: one line for each round, cluster and metric."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("round", "cluster", "metric", "value"))
    for each in rounds:
        writer.writerows((each.round, "", _cell(metric), value) for metric, value in each.metrics.items())
        for cluster, row in (each.clusters or {}).items():
            writer.writerows((each.round, cluster, _cell(metric), value) for metric, value in row.metrics.items())
    return out.getvalue()


def _cell(text: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
