"""The records of a round, from OpenFL's metrics. Pure.

The tasks of a round are recorded as two phases: those that train, and those that evaluate. A site whose results are missing or refused in
any task has no part in the round, because OpenFL aggregates only sites that have completed all tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..codes import MAX_METRIC_NAME, MAX_METRICS, TRAIN
from ..records import Number, Reply, Round, as_number
from .codes import EVALUATE


class Metric(NamedTuple):
    """`origin` is a cluster, or empty for the aggregated value."""

    origin: str
    task: str
    name: str
    value: float


@dataclass(frozen=True)
class Outcome:
    """A completed round, with numbers from 1. `tasks` are in the order of the plan; `training` are those that train; `seconds` by cluster
    and task."""

    number: int
    tasks: list[str]
    training: Collection[str]
    done: Collection[str]
    failed: Mapping[str, str]
    seconds: Mapping[str, Mapping[str, float]]
    metrics: list[Metric]


def records(outcome: Outcome) -> list[Round]:
    """The phases of the round, in the order in which they begin. Failures are in the first phase that contributes."""
    kinds = dict.fromkeys(kind(task, outcome.training) for task in outcome.tasks)
    shown_in = TRAIN if TRAIN in kinds else EVALUATE
    return [_record(outcome, each, outcome.failed if each == shown_in else {}) for each in kinds]


def kind(task: str, training: Collection[str]) -> str:
    return TRAIN if task in training else EVALUATE


def _record(outcome: Outcome, phase: str, failed: Mapping[str, str]) -> Round:
    tasks = [task for task in outcome.tasks if kind(task, outcome.training) == phase]
    found = named([metric for metric in outcome.metrics if metric.task in tasks])
    seconds = {cluster: sum(outcome.seconds.get(cluster, {}).get(task, 0.0) for task in tasks) for cluster in outcome.done}
    return Round(
        round=outcome.number,
        phase=phase,
        replies=len(outcome.done),
        failures=len(failed),
        collaborators={c: Reply(seconds=round(seconds[c], 3), metrics=found.get(c, {})) for c in sorted(outcome.done)},
        failed=dict(failed),
        seconds=round(max(seconds.values(), default=0.0), 3),
        metrics=found.get("", {}),
    )


def named(metrics: Iterable[Metric]) -> dict[str, dict[str, Number]]:
    """The metrics by origin, at most MAX_METRICS of each. If several tasks have a metric of one name, it is `TASK/NAME`."""
    found = list(metrics)
    tasks = Counter(name for _, name in {(metric.task, metric.name) for metric in found})
    result: dict[str, dict[str, Number]] = {}
    for each in found:
        name = each.name if tasks[each.name] == 1 else f"{each.task}/{each.name}"
        mine = result.setdefault(each.origin, {})
        if len(mine) < MAX_METRICS:
            mine[name[:MAX_METRIC_NAME]] = as_number(each.value)
    return result
