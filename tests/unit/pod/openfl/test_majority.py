"""Which results of a round are aggregated together."""

from __future__ import annotations

from typing import Any

import pytest

from panal.pod.tools.openfl.majority import Result, Results, outliers, weightless


def results(metric: str = "loss", size: int = 10, *tags: str) -> Results:
    metrics = frozenset({"metric"})
    train = frozenset({("w", False, frozenset({"trained", *tags})), (metric, True, metrics)})
    return {"validate": Result(frozenset({("accuracy", True, metrics)}), size), "train": Result(train, 10)}


GOOD, OTHER, THIRD = results(), results("other"), results("third")


@pytest.mark.parametrize(
    ("done", "before", "expected"),
    [
        ({}, None, []),
        ({"a": OTHER}, GOOD, []),  # names may change from round to round
        ({"a": GOOD, "b": GOOD}, OTHER, []),
        ({"a": OTHER, "b": GOOD, "c": GOOD}, None, ["a"]),  # the first to reply decides nothing
        ({"a": OTHER, "b": GOOD, "c": GOOD}, OTHER, ["a"]),  # nor does the last round, against a majority
        ({"a": OTHER, "b": GOOD}, GOOD, ["a"]),
        ({"a": OTHER, "b": GOOD}, None, ["b"]),
        ({"a": OTHER, "b": GOOD, "c": THIRD, "d": GOOD}, THIRD, ["a", "b", "d"]),
        ({"a": OTHER, "b": GOOD, "c": THIRD, "d": GOOD}, None, ["a", "c"]),
    ],
)
def test_the_majority_decides_which_names_count(done: dict[str, Results], before: Results | None, expected: list[str]) -> None:
    assert sorted(outliers(done, before)) == expected


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (OTHER, "loss is missing"),
        ({**GOOD, "train": Result(GOOD["train"].names | {("x", True, frozenset({"metric"}))}, 1)}, "x is unknown"),
        (results("loss", 10, "delta"), "w has other tags"),
    ],
)
def test_a_refusal_says_what_differs(other: Results, difference: str) -> None:
    reason, text = outliers({"a": other, "b": GOOD, "c": GOOD}, None)["a"]
    assert (reason, text) == ("MetricsDiffer", f"the results of train are not like those of most sites: {difference}")


def test_sites_that_all_have_no_data_for_a_task_are_refused() -> None:
    empty, tasks = results(size=0), ["validate", "train"]
    assert weightless({"a": empty, "b": GOOD}, tasks) == {}
    found: Any = weightless({"a": empty, "b": empty}, tasks)
    text = "the data set of validate has the size 0, and so have those of all other sites that have replied"
    assert found == {"a": ("WeightInvalid", text), "b": ("WeightInvalid", text)}
    assert weightless({"a": {"count": Result(frozenset(), -1)}}, ["count"]) == {}
