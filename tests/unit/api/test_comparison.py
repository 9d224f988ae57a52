"""Metrics of two runs: the difference, and whether it is better."""

from __future__ import annotations

import pytest

from panal.api.comparison import changed_settings, compared, differences, direction


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [("accuracy", 1), ("eval_acc", 1), ("test/f1", 1), ("train-loss", -1), ("val_rmse", -1), ("accuracy-error", -1), ("num-examples", 0),
     ("accumulated", 0), ("fault", 0)],
)  # fmt: skip
def test_only_a_name_that_says_it_has_a_direction(metric, wanted):
    assert direction(metric) == wanted


def test_each_metric_of_either_run_is_compared():
    found = compared({"accuracy": 0.9, "loss": 0.5, "old": 1.0}, {"accuracy": 0.95, "loss": 0.6, "rounds": "NaN", "same-loss": 1.0})
    assert [(each.metric, each.first, each.second, each.change) for each in found] == [
        ("accuracy", 0.9, 0.95, "better"),
        ("loss", 0.5, 0.6, "worse"),
        ("rounds", None, "NaN", ""),
        ("same-loss", None, 1.0, ""),
        ("old", 1.0, None, ""),
    ]
    assert compared({"loss": 1.0}, {"loss": 1.0})[0].change == "equal"


def test_a_value_that_is_not_finite_has_no_difference():
    assert differences({"a": 1.0, "b": "NaN", "c": 2.0}, {"a": 1.5, "b": 2.0}) == {"a": 0.5}
    assert compared({"accuracy": "NaN"}, {"accuracy": 0.5})[0].change == ""


def test_settings_that_differ():
    assert changed_settings({"lr": 0.1, "old": 1}, {"lr": 0.2, "new": 2, "same": 3} | {"old": 1}) == {
        "lr": (0.1, 0.2),
        "new": (None, 2),
        "same": (None, 3),
    }
