"""The rows of the table, and how figures become text. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]

# What a checkout is measured by: the key in the JSON, and the row's title.
ROWS = {
    "rss_without_run_mib": "RSS without a run, MiB",
    "rss_one_run_mib": "RSS with one run, MiB",
    "rss_restarted_mib": "RSS with one run after a restart, MiB",
    "peak_resync_mib": "peak RSS over a resync with one run, MiB",
    "rss_further_run_mib": "each further run, MiB more",
    "agent_to_status_p50_ms": "agent's status write → status of the run, p50, ms",
    "agent_to_status_max_ms": "agent's status write → status of the run, max, ms",
    "progress_to_status_p50_ms": "progress ConfigMap → status, p50, ms",
    "progress_to_status_max_ms": "progress ConfigMap → status, max, ms",
    "complete_to_status_ms": "Job complete → phase Completed, ms",
    "all_agents_s": "all agents report at once → all ready in the status, s after the last write",
    "event_cpu_ms": "CPU for an event that changes nothing, ms",
    "event_reconcile_ms": "duration of the reconcile for it, ms",
    "blocked_rest_max_ms": "event loop blocked at rest, max, ms",
    "blocked_event_p99_ms": "event loop blocked by such events, p99, ms",
    "blocked_event_max_ms": "event loop blocked by such events, max, ms",
    "blocked_burst_p99_ms": "event loop blocked while works are created, p99, ms",
    "blocked_burst_max_ms": "event loop blocked while works are created, max, ms",
    "blocked_resync_max_ms": "event loop blocked by a resync, max, ms",
    "works_per_s": "works a second in the burst",
    "creates_per_s": "plain creates of the same size a second",
    "applies_per_s": "plain server-side applies of the same size a second",
    "works_to_creates": "works ÷ plain creates",
    "works_to_applies": "works ÷ plain applies",
    "burst_cpu_s": "controller's CPU for all works, s",
    "work_bytes": "bytes of a work as JSON, without managedFields",
    "work_stored_bytes": "bytes of a work as JSON, with managedFields",
    "requests_per_work": "controller's requests for a work",
    "five_runs_s": "five runs over at most 100 clusters, all works, s",
    "restart_writes": "writes of works after a restart",
    "registration_requests": "registration of a cluster, requests",
    "registration_cpu_ms": "registration of a cluster, CPU, ms",
}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is at least as large as `share` of the values."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def latency(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p50_ms": percentile(seconds, 0.5) * 1000, f"{name}_max_ms": max(seconds) * 1000}


def blocked(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"blocked_{name}_p99_ms": percentile(seconds, 0.99) * 1000, f"blocked_{name}_max_ms": max(seconds) * 1000}


def table(title: str, columns: Mapping[str, Figures]) -> str:
    """In Markdown: a row for each figure, a column for each checkout, and the first column divided by each other one. A figure that a
    checkout does not have is a dash."""
    names = list(columns)
    heads = [title, *names, *(f"÷ {name}" for name in names[1:])]
    lines = [heads, ["---"] * len(heads)]
    for key, label in ROWS.items():
        found = [columns[name].get(key) for name in names]
        if any(value is not None for value in found):
            lines.append([label, *map(_shown, found), *(_ratio(found[0], other) for other in found[1:])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _ratio(value: float | None, other: float | None) -> str:
    return f"{value / other:.2f}" if value is not None and other else "–"
