"""Which plans can be resumed exactly, and what of a checkpoint is JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panal.pod.tools.openfl.majority import Result
from panal.pod.tools.openfl.resuming import not_resumable, read_results, results_as_json


def function(name: str, module: str) -> Any:
    return type(name, (), {"__module__": module})()


MEAN = function("WeightedAverage", "openfl.interface.aggregation_functions.weighted_average")
ADAM = function("AdamAdaptiveAggregation", "openfl.interface.aggregation_functions.adam_adaptive_aggregation")
OWN = function("WeightedAverage", "src.aggregation")


@pytest.mark.parametrize(
    ("treatment", "functions", "why"),
    [
        ("RESET", [MEAN, MEAN], ""),
        ("CONTINUE_GLOBAL", [MEAN], ""),
        (None, [MEAN], ""),
        ("CONTINUE_LOCAL", [MEAN], "with opt_treatment CONTINUE_LOCAL the sites keep the state of their optimizers in memory"),
        ("RESET", [MEAN, ADAM], "the aggregation function AdamAdaptiveAggregation may have a state of its own"),
        ("RESET", [OWN], "the aggregation function WeightedAverage may have a state of its own"),
    ],
)
def test_what_cannot_be_resumed_is_named(treatment: str | None, functions: list[Any], why: str) -> None:
    settings = {} if treatment is None else {"opt_treatment": treatment}
    assert not_resumable({"collaborator": {"settings": settings}}, functions) == why


def test_deltas_cannot_be_resumed() -> None:
    why = "with use_delta_updates and compression the sites keep their model of the last round in memory"
    assert not_resumable({"collaborator": {"settings": {"use_delta_updates": True}}}, [MEAN]) == why


def test_a_plan_without_collaborator_can_be_resumed() -> None:
    assert not_resumable({}, [MEAN]) == ""


@pytest.mark.parametrize(
    "results", [None, {"train": Result(frozenset({("w", False, frozenset({"trained", "x"})), ("loss", True, frozenset())}), 320)}]
)
def test_the_names_of_the_last_round_survive(results: Any) -> None:
    assert read_results(json.loads(json.dumps(results_as_json(results)))) == results
