"""The records of a round, from OpenFL's metrics."""

from __future__ import annotations

import math

from panal.pod.tools.codes import MAX_METRIC_NAME, MAX_METRICS
from panal.pod.tools.openfl.journal import Metric, Outcome, named, records
from panal.pod.tools.records import as_number

TASKS = ["aggregated_model_validation", "train", "locally_tuned_model_validation"]
OUTCOME = Outcome(
    number=3,
    tasks=TASKS,
    training={"train"},
    done={"site1"},
    failed={"site2": "ValueError"},
    seconds={"site1": {"aggregated_model_validation": 0.5, "train": 4.0, "locally_tuned_model_validation": 1.0}, "site2": {"train": 9.0}},
    metrics=[
        Metric("site1", "aggregated_model_validation", "accuracy", 0.5),
        Metric("site1", "locally_tuned_model_validation", "accuracy", 0.75),
        Metric("site1", "train", "loss", math.nan),
        Metric("", "train", "loss", 0.25),
    ],
)


def test_tasks_are_recorded_as_a_phase_that_trains_and_one_that_evaluates() -> None:
    evaluate, train = [{k: v for k, v in each.content().items() if k != "time"} for each in records(OUTCOME)]
    accuracies = {"aggregated_model_validation/accuracy": 0.5, "locally_tuned_model_validation/accuracy": 0.75}
    assert evaluate == {
        "event": "round", "round": 3, "phase": "evaluate", "replies": 1, "failures": 0, "failed": {}, "seconds": 1.5, "metrics": {},
        "collaborators": {"site1": {"seconds": 1.5, "metrics": accuracies}},
    }  # fmt: skip
    assert train == {
        "event": "round", "round": 3, "phase": "train", "replies": 1, "failures": 1, "failed": {"site2": "ValueError"}, "seconds": 4.0,
        "metrics": {"loss": 0.25}, "collaborators": {"site1": {"seconds": 4.0, "metrics": {"loss": "NaN"}}},
    }  # fmt: skip


def test_a_round_without_training_has_its_failures_in_the_only_phase() -> None:
    only = Outcome(1, ["count"], frozenset(), {"site1"}, {"site2": "NoReply"}, {}, [])
    assert [(each.phase, each.failed) for each in records(only)] == [("evaluate", {"site2": "NoReply"})]


def test_a_metric_has_its_task_in_its_name_only_if_several_tasks_have_it() -> None:
    both = [Metric("a", "one", "x", 1.0), Metric("b", "one", "x", 2.0)]
    assert named(both) == {"a": {"x": 1.0}, "b": {"x": 2.0}}
    assert named([*both, Metric("a", "two", "x", 3.0)]) == {"a": {"one/x": 1.0, "two/x": 3.0}, "b": {"one/x": 2.0}}


def test_metrics_and_their_names_are_bounded() -> None:
    many = [Metric(origin, "train", f"{index}" + "x" * 300, 1.0) for index in range(50) for origin in ("a", "")]
    found = named(many)
    assert {origin: len(each) for origin, each in found.items()} == {"a": MAX_METRICS, "": MAX_METRICS}
    assert {len(name) for each in found.values() for name in each} == {MAX_METRIC_NAME}


def test_numbers_that_json_lacks_become_text() -> None:
    assert [as_number(value) for value in (1.5, math.nan, math.inf, -math.inf)] == [1.5, "NaN", "Infinity", "-Infinity"]
