"""The table of an evaluation (`spec.mode: Evaluate`), and what it says about the model: worst site, spread, and whether it is better than
what the sites have trained alone. Pure.

The numbers and names come from sites, through the user's image: they are bounded, and a value that is not finite counts as missing.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from panal.api.comparison import direction
from panal.api.progress import MAX_COLLABORATORS, ranked
from panal.api.status import MAX_COMPARED, MAX_NAME
from panal.api.text import by_name, shown
from panal.api.types import Evaluation, EvaluationStatus, Goal, SiteEvaluation
from panal.pod.tools.codes import CLUSTER, MAX_CODE, MAX_METRICS

EXAMPLES = "num-examples"
MAX_EXAMPLES = 2**53
LARGEST = 1e280  # a larger value counts as not finite: sums with weights must be
NOT_FINITE, NOT_REPORTED = "MetricNotFinite", "MetricNotReported"
_CLUSTER = re.compile(CLUSTER)

Metrics = dict[str, float | str]  # a value that is not finite is a word


@dataclass(frozen=True, slots=True)
class Site:
    """What a site has found. `examples` is None if it has not said so."""

    cluster: str
    examples: int | None
    global_model: Metrics
    local_model: Metrics
    failed: str = ""
    local_failed: str = ""


def read(content: Any) -> list[Site]:
    """The sites by name. Raises ValueError if `content` is not what the hook writes."""
    try:
        found = {str(cluster): dict(each) for cluster, each in content["sites"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the evaluation cannot be read: {error!r}") from error
    return [_site(cluster, each) for cluster, each in sorted(found.items()) if _CLUSTER.fullmatch(cluster)]


def _site(cluster: str, found: Mapping[str, Any]) -> Site:
    of_global, of_local = _metrics(found.get("global")), _metrics(found.get("local"))
    codes = [shown(str(found.get(name) or ""), MAX_CODE) for name in ("failed", "localFailed")]
    examples = of_global.pop(EXAMPLES, None)
    of_local.pop(EXAMPLES, None)
    counted = isinstance(examples, float) and 0 <= examples <= MAX_EXAMPLES
    return Site(cluster, int(examples) if counted and isinstance(examples, float) else None, of_global, of_local, *codes)


def _metrics(found: Any) -> Metrics:
    if not isinstance(found, Mapping):
        return {}
    numbers: Metrics = {}
    for name, value in by_name({str(key): each for key, each in found.items()}, MAX_NAME).items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[name] = float(value) if abs(value) < LARGEST else "NaN"
        elif value in ("NaN", "Infinity", "-Infinity"):
            numbers[name] = value
    return dict(list(numbers.items())[: MAX_METRICS + 1])


def headline(sites: Iterable[Site], wanted: Evaluation) -> str:
    """The metric by which the sites are compared; empty if there is none."""
    if wanted.metric:
        return wanted.metric
    names = {name for site in sites for name in site.global_model}
    return next(iter(ranked(names)), "")


def goal(metric: str, wanted: Evaluation) -> Goal:
    if wanted.goal:
        return wanted.goal
    return Goal.MINIMIZE if direction(metric) < 0 else Goal.MAXIMIZE


def document(sites: Iterable[Site], about: Mapping[str, Any], status: EvaluationStatus) -> dict[str, Any]:
    """The content of evaluation.json."""
    rows = [
        {
            "cluster": site.cluster,
            "examples": site.examples,
            "globalModel": site.global_model,
            "localModel": site.local_model,
            "difference": _differences(site),
            "reason": site.failed,
            "localReason": site.local_failed,
        }
        for site in sites
    ]
    return {**about, **status.model_dump(mode="json", by_alias=True, exclude={"uri", "digest", "table"}), "table": rows}


def _differences(site: Site) -> dict[str, float]:
    pairs = ((name, value, site.local_model.get(name)) for name, value in site.global_model.items())
    return {name: one - other for name, one, other in pairs if isinstance(one, float) and isinstance(other, float)}


def summary(sites: list[Site], wanted: Evaluation) -> EvaluationStatus:
    """What the status says, without the address of the file."""
    metric = headline(sites, wanted)
    towards = goal(metric, wanted)
    better: Callable[[float, float], bool] = operator.lt if towards is Goal.MINIMIZE else operator.gt
    values = {site.cluster: value for site in sites if isinstance(value := site.global_model.get(metric), float)}
    local = {site.cluster: value for site in sites if isinstance(value := site.local_model.get(metric), float)}
    compared = [cluster for cluster in values if cluster in local]
    worst = (max if towards is Goal.MINIMIZE else min)(values, key=lambda cluster: values[cluster], default="")
    numbers = list(values.values())
    return EvaluationStatus(
        uri="",
        digest="",
        metric=shown(metric, MAX_NAME),
        goal=towards,
        sites=len(values),
        without=len(sites) - len(values),
        examples=min(sum(site.examples or 0 for site in sites if site.cluster in values), 2**62),
        weighted_mean=_weighted_mean(sites, values),
        worst_site=worst,
        worst=values.get(worst),
        spread=max(numbers) - min(numbers) if numbers else None,
        standard_deviation=_deviation(numbers),
        compared=len(compared),
        better=sum(better(values[cluster], local[cluster]) for cluster in compared),
        table=_rows(sites, metric, values, local, towards),
    )


def _weighted_mean(sites: Iterable[Site], values: Mapping[str, float]) -> float | None:
    weights = {site.cluster: site.examples for site in sites if site.examples and site.cluster in values}
    return math.fsum(values[cluster] * weight for cluster, weight in weights.items()) / sum(weights.values()) if weights else None


def _deviation(numbers: list[float]) -> float | None:
    """Of the sites as they are, which are no sample of others."""
    if not numbers:
        return None
    mean = math.fsum(numbers) / len(numbers)
    return math.hypot(*(number - mean for number in numbers)) / math.sqrt(len(numbers))  # no square exceeds the range


def _rows(sites: list[Site], metric: str, values: Mapping[str, float], local: Mapping[str, float], towards: Goal) -> list[SiteEvaluation]:
    sign = -1 if towards is Goal.MINIMIZE else 1
    ordered = sorted(sites, key=lambda site: (site.cluster in values, sign * values.get(site.cluster, 0.0), site.cluster))
    return [
        SiteEvaluation(
            cluster=site.cluster,
            examples=site.examples,
            global_model=_first(site.global_model, metric),
            local_model=_first(site.local_model, metric),
            difference=values[site.cluster] - local[site.cluster] if site.cluster in values and site.cluster in local else None,
            reason=site.failed or _why(site, metric) or site.local_failed,
        )
        for site in ordered[:MAX_COLLABORATORS]
    ]


def _why(site: Site, metric: str) -> str:
    """Why the metric of the global model is missing."""
    value = site.global_model.get(metric)
    return NOT_REPORTED if value is None else NOT_FINITE if isinstance(value, str) else ""


def _first(metrics: Metrics, metric: str) -> dict[str, float]:
    finite = {name: value for name, value in metrics.items() if isinstance(value, float)}
    return dict(sorted(finite.items(), key=lambda item: (item[0] != metric, item[0]))[:MAX_COMPARED])
