"""Compares the metrics of two runs: the differences, and which of them are better. Pure: for the command line and the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panal.api.progress import Metric

LOWER_IS_BETTER = ("loss", "error", "mse", "mae", "mape", "brier", "perplexity", "divergence")
HIGHER_IS_BETTER = ("accuracy", "acc", "auc", "f1", "precision", "recall", "r2", "dice", "iou")


class Change(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    UNKNOWN = ""  # nobody knows whether a larger value of the metric is better, or a value is missing


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of two runs. A value is None where the run does not have the metric. `difference`: second minus first, if both are
    finite."""

    metric: str
    first: Metric | None
    second: Metric | None
    difference: float | None
    change: Change


def compared(first: Mapping[str, Metric], second: Mapping[str, Metric]) -> list[Compared]:
    """Every metric of either run, in the order of `second` and then of `first`. `change` says how `second` compares with `first`."""
    change = differences(first, second)
    return [_compared(metric, first, second, change.get(metric)) for metric in {**second, **first}]


def _compared(metric: str, first: Mapping[str, Metric], second: Mapping[str, Metric], difference: float | None) -> Compared:
    return Compared(metric, first.get(metric), second.get(metric), difference, _change(metric, difference))


def differences(first: Mapping[str, Metric], second: Mapping[str, Metric]) -> dict[str, float]:
    """Second minus first, of the metrics that are finite numbers in both."""
    found = {}
    for name in sorted(first.keys() & second.keys()):
        before, after = first[name], second[name]
        if not isinstance(before, str) and not isinstance(after, str):
            found[name] = after - before
    return found


def _change(metric: str, difference: float | None) -> Change:
    if difference is None:
        return Change.UNKNOWN
    if difference == 0:
        return Change.EQUAL
    sign = direction(metric)
    return Change.UNKNOWN if not sign else Change.BETTER if difference * sign > 0 else Change.WORSE


def direction(metric: str) -> int:
    """1 if a higher value is better, -1 if a lower one is, 0 if the metric's name does not say it."""
    name = metric.lower()
    if any(word in name for word in LOWER_IS_BETTER):
        return -1
    words = name.replace("-", "_").replace("/", "_").replace(".", "_").split("_")
    return 1 if any(word.startswith("accuracy") or word in HIGHER_IS_BETTER for word in words) else 0


def changed_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which two runs differ, with both values; None where a run does not have it."""
    names = {**second, **first}
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}
