"""The charts and the timeline of a run, from its history. Pure.

One chart for each metric: the app's own value over all clusters, and the values that clusters reported. With more clusters than CLUSTERS,
those that the viewer names have a line of their own, then the worst of the last round, and the others are a band from lowest to highest.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from panal.api.history import ClusterRound, Round
from panal.api.progress import Metric
from panal.dashboard.chart import Chart, Line, Points

CLUSTERS = 6  # lines of clusters in a chart
CHARTS = 24
OVERALL = "overall"
LOWER_IS_BETTER = ("loss", "error", "mse", "mae", "rmse", "perplexity", "divergence")
COUNTS = ("num-examples", "num_examples")  # amounts, not quality: the last charts
SLOW = 2.0  # a straggler takes so many times as long as the median of its round,
SLOW_AT_LEAST = 1.0  # and so many seconds longer
STRAGGLERS = 5  # named in a row of the timeline


def charts(rounds: Sequence[Round], named: Collection[str] = ()) -> list[Chart]:
    """One for each metric, the app's own metrics first."""
    overall: dict[str, dict[int, float]] = {}
    clusters: dict[str, dict[str, dict[int, float]]] = {}
    for each in rounds:
        for metric, value in each.metrics.items():
            overall.setdefault(metric, {})[each.round] = _number(value)
        for cluster, row in (each.clusters or {}).items():
            for metric, value in row.metrics.items():
                clusters.setdefault(metric, {}).setdefault(cluster, {})[each.round] = _number(value)
    order = sorted({*overall, *clusters}, key=lambda metric: (metric not in overall, metric in COUNTS, metric))
    return [_chart(metric, overall.get(metric), clusters.get(metric, {}), named) for metric in order[:CHARTS]]


def _number(value: Metric) -> float:
    return math.nan if isinstance(value, str) else float(value)


def _chart(metric: str, overall: Points | None, clusters: Mapping[str, Points], named: Collection[str]) -> Chart:
    own = sorted(with_a_line(metric, clusters, named))
    lines = [Line(OVERALL, overall, 0)] if overall else []
    lines += [Line(cluster, clusters[cluster], 1 + number) for number, cluster in enumerate(own)]
    return Chart(metric, lines, _band([clusters[each] for each in clusters if each not in own]))


def with_a_line(metric: str, clusters: Mapping[str, Points], named: Collection[str]) -> list[str]:
    """The clusters with a line of their own."""
    wanted = [cluster for cluster in clusters if cluster in named][:CLUSTERS]
    sign = -1 if any(word in metric.lower() for word in LOWER_IS_BETTER) else 1

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


# --- the timeline ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Slow:
    cluster: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A round of the timeline. `phases`: name, seconds, and the share of the longest round, from 0 to 1. `failed`: reason by cluster."""

    round: Round
    phases: Sequence[tuple[str, float, float]]
    stragglers: Sequence[Slow]
    more_stragglers: int
    failed: Mapping[str, str]


def timeline(rounds: Sequence[Round], most: int) -> list[Bar]:
    """The last `most` rounds, the newest first."""
    shown = list(rounds[-most:])
    longest = max((each.seconds or 0.0 for each in shown), default=0.0)
    return [_bar(each, longest) for each in reversed(shown)]


def _bar(each: Round, longest: float) -> Bar:
    phases = each.phases or ({"round": each.seconds} if each.seconds is not None else {})
    slow = stragglers(each.clusters or {})
    return Bar(
        each,
        [(name, seconds, min(1.0, max(0.0, seconds / longest)) if longest > 0 else 0.0) for name, seconds in phases.items()],
        slow[:STRAGGLERS],
        max(0, len(slow) - STRAGGLERS),
        each.failed,
    )


def stragglers(clusters: Mapping[str, ClusterRound]) -> list[Slow]:
    """Those that trained much longer than the others, the slowest first."""
    known = {cluster: row.seconds for cluster, row in clusters.items() if row.seconds is not None}
    if len(known) < 3:
        return []
    usual = median(known.values())
    slow = [Slow(name, seconds) for name, seconds in known.items() if seconds > usual * SLOW and seconds > usual + SLOW_AT_LEAST]
    return sorted(slow, key=lambda one: (-one.seconds, one.cluster))


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
