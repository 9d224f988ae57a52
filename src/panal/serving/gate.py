"""Whether the model of a run may be served.

The metrics of the validation come first, because they are of data that no cluster trained on; then those of the last round. A metric that
is not finite or does not exist refuses the model.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panal.api.status import Phase

Object = dict[str, Any]
COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_REQUIREMENT = re.compile(r"\s*(?P<metric>\S(?:.*?\S)?)\s*(?P<comparison>>=|<=|>|<)\s*(?P<value>\S+)\s*")
LOWER = ":lower"


class Source(StrEnum):
    """Where a metric is from, the first one that counts first."""

    VALIDATION = "validation"
    ROUNDS = "rounds"


Metrics = Mapping[str, Mapping[str, float]]  # by source, then by name; finite ones only


@dataclass(frozen=True, slots=True)
class Requirement:
    metric: str
    comparison: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Such as `accuracy >= 0.9`. Raises ValueError."""
        found = _REQUIREMENT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not METRIC >= NUMBER, nor has it <=, > or < instead")
        try:
            value = float(found["value"])
        except ValueError as error:
            raise ValueError(f"{text!r}: {found['value']} is not a number") from error
        if not math.isfinite(value):
            raise ValueError(f"{text!r}: {found['value']} is not a finite number")
        return cls(found["metric"], found["comparison"], value)

    def holds(self, value: float) -> bool:
        return bool(COMPARISONS[self.comparison](value, self.value))

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Better:
    """The metric must be better than that of the version that serves: higher, or lower with `lower`."""

    metric: str
    lower: bool = False

    @classmethod
    def parse(cls, text: str) -> Better:
        """METRIC or METRIC:lower. Raises ValueError."""
        metric, lower = (text.removesuffix(LOWER).strip(), text.endswith(LOWER))
        if not metric:
            raise ValueError(f"{text!r} is not METRIC or METRIC{LOWER}")
        return cls(metric, lower)


def measured(status: Object) -> dict[str, dict[str, float]]:
    """The finite metrics of a run, by source."""
    found = {Source.VALIDATION: status.get("validation") or {}, Source.ROUNDS: status}
    return {str(source): dict(each["metrics"]) for source, each in found.items() if each.get("metrics")}


def refusals(run: Object, requirements: Sequence[Requirement], better: Sequence[Better], serving: Metrics | None) -> list[str]:
    """Why the model may not be served; empty if it may. `serving`: the metrics of the version that serves, None if none does."""
    state = _state(run)
    if state:
        return state
    found = [_required(run, each) for each in requirements]
    found += [_better(run, each, serving) for each in better if serving is not None]
    return [why for why in found if why]


def _state(run: Object) -> list[str]:
    """A model that is not there or was not approved."""
    name, status = run["metadata"]["name"], run.get("status") or {}
    phase = status.get("phase", Phase.WAITING)
    if phase != Phase.COMPLETED:
        return [f"{name} is {phase}; only the model of a Completed run is served"]
    if not status.get("model"):
        return [f"{name} has no stored model"]
    if (run.get("spec") or {}).get("validation"):
        condition: Object = next((c for c in status.get("conditions") or () if c.get("type") == "Validated"), {})
        if condition.get("status") != "True":
            why = condition.get("message") or condition.get("reason") or "it has not ended"
            return [f"{name} has spec.validation, and its condition Validated is {condition.get('status', 'Unknown')}: {why}"]
    return []


def _required(run: Object, requirement: Requirement) -> str:
    value, source = _value(run, requirement.metric)
    if value is None:
        return f"{requirement}: {source}"
    return "" if requirement.holds(value) else f"{requirement}: it is {value:g} ({_of(source)})"


def _better(run: Object, wanted: Better, serving: Metrics) -> str:
    """Compares metrics of one source alone: those of the rounds and of a validation are of different data."""
    value, source = _value(run, wanted.metric)
    if value is None:
        return f"better {wanted.metric}: {source}"
    other = (serving.get(source) or {}).get(wanted.metric)
    if other is None:
        named = _names(serving)
        return f"better {wanted.metric}: the version that serves has no {wanted.metric} {_of(source)} to compare with; it has {named}"
    if value < other if wanted.lower else value > other:
        return ""
    return f"better {wanted.metric}: it is {value:g}, and that of the version that serves is {other:g} ({_of(source)})"


def _value(run: Object, metric: str) -> tuple[float | None, str]:
    """The value and its source, or None and what is wrong."""
    status = run.get("status") or {}
    for source, each in ((Source.VALIDATION, status.get("validation") or {}), (Source.ROUNDS, status)):
        if metric in (each.get("nonFiniteMetrics") or {}):
            return None, f"it is {each['nonFiniteMetrics'][metric]} ({_of(source)})"
        if metric in (each.get("metrics") or {}):
            return float(each["metrics"][metric]), str(source)
    return None, f"there is no such metric; {run['metadata']['name']} has {_names(measured(status))}"


def _of(source: str) -> str:
    return "of the validation" if source == Source.VALIDATION else "of the last round"


def _names(metrics: Metrics) -> str:
    found = sorted({name for each in metrics.values() for name in each})
    return ", ".join(found) or "none"
