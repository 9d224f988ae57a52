"""Amounts, times and what is left of a run."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from panal.api import figures

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.44, "0.4 s"), (12, "12 s"), (119, "119 s"), (300, "5 min"), (7800, "2 h 10 min"), (7200, "2 h"), (273600, "3 d 4 h")],
)
def test_durations(seconds, said):
    assert figures.duration(seconds) == said


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_what_is_no_duration_is_nothing(seconds):
    assert figures.duration(seconds) == ""


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (24684092 * 1024, "23.5 GiB"), (2**60, "1024 PiB"), (None, ""), (-1, "")],
)
def test_amounts(size, said):
    assert figures.amount(size) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.9427, "0.9427"),
        (2, "2"),
        (0.00001234567, "1.235e-05"),
        (0.95624999999999, "0.9563"),
        ("NaN", "NaN"),
        (None, ""),
    ],
)
def test_a_metric_is_the_same_from_a_status_and_from_the_history(value, said):
    assert figures.number(value) == said
    if isinstance(value, float):
        assert figures.number(figures.kept(value)) == said


@pytest.mark.parametrize(
    ("seconds", "completed", "total", "left"),
    [
        ([], 2, 5, None),  # no duration is known
        ([10], 0, 5, None),  # no round is complete
        ([10], 2, 5, 30),
        ([100, 10, 12, 11, 10, 500], 6, 8, 22),  # the median of the last five: an outlier counts little, the first round not at all
        ([math.nan, 10], 2, 4, 20),
        ([10], 5, 5, None),  # only storing the model is left
        ([10], 5, 4, None),
    ],
)
def test_what_is_left(seconds, completed, total, left):
    assert figures.left(seconds, completed, total) == left


def test_what_is_left_is_an_estimate_in_words():
    assert (figures.about(600), figures.about(3)) == ("about 10 min left", "a few seconds left")


def test_an_age_changes_seldom():
    ages = {figures.age(NOW - timedelta(seconds=each), NOW) for each in range(120)}
    assert ages == {"now", *(f"{each} s" for each in range(15, 120, 15))}
    assert figures.age(NOW - timedelta(days=3), NOW) == "3 d"
    assert figures.age(NOW + timedelta(days=3), NOW) == "now"


@pytest.mark.parametrize("text", ["", None, 3, "yesterday", "2026-99-99"])
def test_what_is_no_time_is_none(text):
    assert figures.moment(text) is None


def test_times_of_kubernetes_and_of_apps():
    assert figures.moment("2026-03-01T12:00:00Z") == NOW
    assert figures.at(NOW.timestamp()) == NOW
    assert figures.at(1e30) is None


@pytest.mark.parametrize(("text", "value"), [("24684092Ki", 24684092 * 1024), ("500m", 0.5), ("2", 2), ("a lot", None), (None, None)])
def test_quantities(text, value):
    assert figures.quantity(text) == value


def test_counts_and_lists():
    assert (figures.named(1, "run"), figures.named(1200, "run"), figures.named(2, "reply", "replies")) == (
        "1 run",
        "1,200 runs",
        "2 replies",
    )
    assert figures.listed("abc", 2) == "a, b and 1 more"
