"""The series of a run, from statuses that real decisions lead to."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panal.hub.apply import without_empty
from panal.hub.scrape import families as f
from panal.hub.scrape.families import Family
from panal.hub.scrape.runs import (
    KEPT,
    MAX_CLUSTERS,
    MAX_METRICS,
    MAX_OF_A_RUN,
    MAX_OF_CLUSTERS,
    RunState,
    common,
    is_shown,
    of_clusters,
    of_run,
)
from panal.kube.objects import Object
from panal.kube.times import to_time
from worlds import NOW, ended, progress, resource, running, seen, status_after

KEY = ("ns", "digits")
TRAFFIC = {"cluster1": [10, 1, 1000, 2000], "cluster2": [12, 0, 1100, 2200], "": [0, 7, 0, 0]}


def state(world: Any = None, traffic: object = TRAFFIC, since: float | None = 5.0) -> RunState:
    status = status_after(world or running(progress=progress(**TRAINED))).model_dump(mode="json", by_alias=True)
    return RunState(resource() | {"status": without_empty(status)}, traffic if isinstance(traffic, str) else json.dumps(traffic), since)


TRAINED: dict[str, Any] = {
    "seconds": 12.5,
    "replies": 2,
    "failures": 1,
    "metrics": {"loss": 0.5, "accuracy": 0.9},
    "collaborators": {
        "cluster1": seen(seconds=3.5, metrics={"loss": 0.4}),
        "cluster2": seen(seconds=4.5, metrics={"loss": "NaN"}),
        "cluster3": seen(failed=True, reason="ValueError"),
    },
}


def values(
    run: RunState, family: Family, known: frozenset[str] = frozenset({"cluster1", "cluster2", "cluster3"})
) -> dict[tuple[str, ...], float]:
    """By the labels after those of the run."""
    found = [each for each in (*of_run(run), *of_clusters(run, known)) if each.family == family]
    assert all(each.labels[:2] == KEY and len(each.labels) == len(family.labels) for each in found)
    assert len({each.labels for each in found}) == len(found)
    return {each.labels[2:]: each.value for each in found}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (f.STATUS, {("Running", "Training"): 1}),
        (f.ROUNDS_COMPLETED, {(): 1}),
        (f.ROUNDS_PLANNED, {(): 3}),
        (f.ROUND_DURATION, {(): 12.5}),
        (f.ROUND_TIME, {(): 5}),
        (f.REPLIES, {(): 2}),
        (f.REPLY_FAILURES, {(): 1}),
        (f.CLUSTERS, {("selected",): 3, ("ready",): 2, ("failed",): 1}),
        (f.RESTARTS, {(): 0}),
        (f.METRIC, {("accuracy",): 0.9, ("loss",): 0.5}),
        (f.STRANGERS_REFUSED, {(): 7}),
        (
            f.CLUSTER_STATUS,
            {("cluster1", "Training", ""): 1, ("cluster2", "Training", ""): 1, ("cluster3", "Failed", "Crashing"): 1},
        ),
        (f.CLUSTER_ROUND, {("cluster1",): 1, ("cluster2",): 1, ("cluster3",): 1}),
        (f.CLUSTER_SECONDS, {("cluster1",): 3.5, ("cluster2",): 4.5}),
        (f.REQUESTS, {("cluster1",): 10, ("cluster2",): 12}),
        (f.REFUSED, {("cluster1",): 1, ("cluster2",): 0}),
        (f.RECEIVED, {("cluster1",): 1000, ("cluster2",): 1100}),
        (f.SENT, {("cluster1",): 2000, ("cluster2",): 2200}),
    ],
    ids=lambda value: value.name if isinstance(value, Family) else "",
)
def test_a_run_that_trains_has_series(family: Family, expected: dict[tuple[str, ...], float]) -> None:
    assert values(state(), family) == expected


def test_a_metric_that_is_not_finite_is_one_of_its_cluster() -> None:
    found = values(state(), f.CLUSTER_METRIC)
    assert found.keys() == {("cluster1", "loss"), ("cluster2", "loss")}
    assert math.isnan(found["cluster2", "loss"])


def test_a_run_that_waits_says_why_and_has_no_round() -> None:
    run = RunState(resource())
    assert values(run, f.STATUS) == {("Waiting", ""): 1}
    assert values(run, f.ROUND_DURATION) == values(run, f.ROUND_TIME) == values(run, f.CLUSTER_STATUS) == {}


def test_a_run_that_has_ended_has_its_status_alone() -> None:
    run = state(ended())
    assert [each.family for each in (*of_run(run), *of_clusters(run, ()))] == [f.STATUS]
    assert values(run, f.STATUS) == {("Completed", "Completed"): 1}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, True),
        ({"phase": "Running"}, True),
        ({"phase": "Failed", "completionTime": to_time(NOW - KEPT + timedelta(seconds=1))}, True),
        ({"phase": "Failed", "completionTime": to_time(NOW - KEPT)}, False),
        ({"phase": "Completed"}, False),
        ({"phase": "Completed", "completionTime": "yesterday"}, False),
    ],
)
def test_a_run_is_shown_until_an_hour_after_its_end(status: Object, expected: bool) -> None:
    assert is_shown(resource() | {"status": status}, NOW) is expected


def test_only_clusters_of_the_hub_have_traffic() -> None:
    found = state(traffic=TRAFFIC | {"cluster9": [1, 1, 1, 1], "known": [3, 0, 0, 0]})
    assert values(found, f.REQUESTS, frozenset({"known"})) == {("cluster1",): 10, ("cluster2",): 12, ("known",): 3}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"cluster1": [1, 2, 3]}', '{"cluster1": [1, 2, 3, -4]}', '{"cluster1": [1, 2, 3, 1e400]}', "\ud800",
     '{"cluster1": [1, 2, 3, 9223372036854775808]}', '{"cluster1": [1, 2, 3, "4"]}', "[" * 100_000],
    ids=lambda text: text[:40].encode("unicode_escape").decode(),
)  # fmt: skip
def test_traffic_of_another_form_is_ignored(text: str) -> None:
    run = state(traffic=text)
    assert values(run, f.REQUESTS) == values(run, f.STRANGERS_REFUSED) == {}
    assert values(run, f.ROUNDS_COMPLETED) == {(): 1}


def many(number: int, names: int) -> RunState:
    """A status with so many collaborators, each with so many metrics."""
    metrics = {f"m{n:02}": 1.0 for n in range(names)}
    collaborators = [
        {"cluster": f"c{n}", "state": "Failed", "reason": "R" * 900, "round": 1, "seconds": 1.0, "metrics": metrics} for n in range(number)
    ]
    status = {"phase": "Running", "rounds": {"seconds": 1.0}, "collaborators": collaborators, "metrics": metrics}
    traffic = {f"c{n}": [1, 1, 1, 1] for n in range(3500)} | {"": [0, 1, 0, 0]}
    return RunState(resource() | {"status": status}, json.dumps(traffic), 1.0)


@pytest.mark.parametrize("number", [0, 3, MAX_CLUSTERS, 3 * MAX_CLUSTERS])
def test_a_run_has_at_most_so_many_series(number: int) -> None:
    run, known = many(number, 30), frozenset(f"c{n}" for n in range(3500))
    assert len(list(of_run(run))) == MAX_OF_A_RUN
    found = list(of_clusters(run, known))
    assert len({each.labels[2] for each in found}) == MAX_CLUSTERS
    assert len(found) <= MAX_OF_CLUSTERS
    if number >= MAX_CLUSTERS:
        assert len(found) == MAX_OF_CLUSTERS
    assert max(len(label) for each in found for label in each.labels) == (64 if number else len("digits"))


def test_one_cluster_cannot_displace_the_metrics_of_the_others() -> None:
    usual, odd = {"zeta": 1.0, "eta": 1.0}, {f"a{n}_accuracy": 1.0 for n in range(20)}
    assert common([odd, usual, usual])[:2] == ["eta", "zeta"]
    assert len(common([odd, usual, usual])) == MAX_METRICS
    assert common([{"loss": 1, "accuracy": 1, "a": 1}]) == ["accuracy", "loss", "a"]


@given(st.text(), st.text())
def test_text_of_others_stays_one_printable_label(reason: str, metric: str) -> None:
    status = {
        "phase": "Running",
        "conditions": [{"type": "Progressing", "status": "True", "reason": reason}],
        "metrics": {metric: 1.0},
        "collaborators": [{"cluster": "c", "state": reason, "reason": reason, "metrics": {metric: 1}}],
    }
    for each in (*of_run(found := RunState(resource() | {"status": status})), *of_clusters(found, ())):
        assert all(label.isprintable() and len(label) <= 64 for label in each.labels)
