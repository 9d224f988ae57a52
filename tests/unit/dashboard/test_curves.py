"""The series of a history: one chart for each metric, the worst clusters, the run to compare with."""

from __future__ import annotations

import math

import pytest

from dashboards import row
from panal.api.history import Round
from panal.dashboard.curves import CHARTS, CLUSTERS, charts, table, with_a_line


def rounds(*rows) -> list[Round]:
    return [Round.model_validate(each) for each in rows]


def test_each_metric_has_a_chart_with_the_apps_own_first():
    found = charts(rounds(row(1, 0.8), row(2, "NaN")))
    assert [each.title for each in found] == ["accuracy", "loss"]
    accuracy, loss = found
    assert [line.name for line in accuracy.lines] == ["overall"]
    assert math.isnan(accuracy.lines[0].points[2])
    assert {line.name: dict(line.points) for line in loss.lines} == {"site-a": {1: 1.0, 2: 0.5}, "site-b": {1: 2.0, 2: 1.0}}


def test_so_many_charts_at_most():
    metrics = [{f"m{number}": 1.0 for number in range(first, first + 16)} for first in (0, 16)]
    assert len(charts(rounds(*(row(number, 0.8, metrics=each) for number, each in enumerate(metrics, 1))))) == CHARTS


@pytest.mark.parametrize(("metric", "worst"), [("loss", "c9"), ("accuracy", "c0")])
def test_of_many_clusters_the_worst_have_lines(metric, worst):
    clusters = {f"c{number}": {1: float(number)} for number in range(10)}
    found = with_a_line(metric, clusters, ())
    assert len(found) == CLUSTERS
    assert found[0] == worst


def test_clusters_that_are_named_have_lines_and_the_others_are_a_band():
    clusters = {f"c{number}": {"seconds": 1.0, "metrics": {"loss": float(number)}} for number in range(10)}
    (_, loss) = charts(rounds(row(1, 0.8, clusters=clusters)), named=["c0"])
    names = [line.name for line in loss.lines]
    assert names == ["c0", "c5", "c6", "c7", "c8", "c9"]
    assert loss.band == {1: (1.0, 4.0)}


def test_a_cluster_without_a_finite_value_is_among_the_worst():
    clusters = {f"c{number}": {1: float(number)} for number in range(10)} | {"broken": {1: math.nan}}
    assert "broken" in with_a_line("loss", clusters, ())


def test_the_run_to_compare_with_has_a_line_of_its_own_for_the_apps_metrics():
    accuracy, loss = charts(rounds(row(1, 0.8), row(2, 0.9)), other=("before", rounds(row(1, 0.5), row(2, 0.6), row(3, 0.7))))
    line = accuracy.lines[-1]
    assert (line.name, line.classes, dict(line.points)) == ("before (overall)", "line s7", {1: 0.5, 2: 0.6, 3: 0.7})
    assert [each.name for each in loss.lines] == ["site-a", "site-b"]


def test_a_named_cluster_stands_out_from_the_others():
    _, loss = charts(rounds(row(1, 0.8)), named=["site-b"])
    assert {line.name: line.emphasis for line in loss.lines} == {"site-a": "dim", "site-b": "strong"}
    _, loss = charts(rounds(row(1, 0.8)), named=["elsewhere"])
    assert {line.emphasis for line in loss.lines} == {""}


def test_metrics_that_do_not_change_come_last():
    found = charts(rounds(*(row(number, number / 10, metrics={"a-constant": 5.0, "loss": 1 / number}) for number in (1, 2, 3))))
    assert [(each.title, each.constant) for each in found] == [("loss", False), ("a-constant", True)]
    assert not any(each.constant for each in charts(rounds(row(1, 0.8))))  # one round says nothing about change


def test_the_table_has_the_last_rounds():
    chart = charts(rounds(*(row(number, number / 10) for number in range(1, 9))))[0]
    assert table(chart, 2) == [(8, [0.8]), (7, [0.7])]
