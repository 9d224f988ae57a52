"""The series of a history: one chart for each metric, the worst clusters, stragglers."""

from __future__ import annotations

import math

import pytest

from dashboards import row
from panal.api.history import ClusterRound, Round
from panal.dashboard.curves import CHARTS, CLUSTERS, charts, stragglers, table, timeline, with_a_line


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


def test_stragglers_are_much_slower_than_the_others():
    def found(**seconds):
        return [each.cluster for each in stragglers({name: ClusterRound(seconds=value) for name, value in seconds.items()})]

    assert found(a=10, b=11, c=50, d=30) == ["c"]  # the median is 20.5
    assert found(a=10, b=10, c=10, d=50, e=30) == ["d", "e"]
    assert found(a=0.1, b=0.1, c=0.9) == []  # not by a second
    assert found(a=10, b=50) == []  # two do not say what is usual


def test_the_timeline_has_the_newest_round_first_in_shares_of_the_longest():
    newest, oldest = timeline(rounds(row(1, 0.8, seconds=20), row(2, 0.9, seconds=10, failed={"site-b": "OSError"})), 10)
    assert (newest.round.round, oldest.round.round) == (2, 1)
    assert sum(share for _, _, share in oldest.phases) == pytest.approx(1)
    assert sum(share for _, _, share in newest.phases) == pytest.approx(0.5)
    assert newest.failed == {"site-b": "OSError"}


def test_the_table_has_the_last_rounds():
    chart = charts(rounds(*(row(number, 0.5) for number in range(1, 9))))[0]
    assert table(chart, 2) == [(8, [0.5]), (7, [0.5])]
