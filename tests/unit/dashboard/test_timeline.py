"""The rounds of a run: the slow, the failed with what sites share, and the round that goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashboards import row
from panal.api.history import ClusterRound, Round
from panal.api.progress import Progress
from panal.dashboard.timeline import Failure, failures, stragglers, timeline, with_current

NOW = datetime.fromtimestamp(1772362802.0, UTC) + timedelta(seconds=42)  # round 2 of `row` ended 42 s ago


def rounds(*rows) -> list[Round]:
    return [Round.model_validate(each) for each in rows]


def progress(**content) -> Progress:
    return Progress.model_validate({"started": True, "roundsCompleted": 2, **content})


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
    assert newest.failed == [Failure("site-b", "OSError")]


def test_a_failure_has_the_text_that_the_site_shares():
    clusters = {"site-b": {"reason": "FileNotFoundError", "message": "no such file: labels.csv"}, "site-a": {"seconds": 1.0}}
    (found,) = rounds(row(2, 0.9, failures=2, failed={"site-b": "FileNotFoundError", "site-c": "OSError"}, clusters=clusters))
    assert failures(found) == [Failure("site-b", "FileNotFoundError", "no such file: labels.csv"), Failure("site-c", "OSError")]


def test_of_many_failures_the_first_are_named():
    (bar,) = timeline(rounds(row(1, 0.8, failures=30, failed={f"c{number:02}": "OSError" for number in range(20)})), 10)
    assert [one.cluster for one in bar.failed] == ["c00", "c01", "c02", "c03", "c04"]
    assert bar.more_failed == 25


def test_the_round_that_goes_on_is_there_before_the_history_has_it():
    known = rounds(row(1, 0.8), row(2, 0.9))
    failed = {
        "site-b": {"round": 3, "failed": True, "reason": "FileNotFoundError"},
        "site-c": {"round": 2, "failed": True, "reason": "Old"},
    }
    bars = with_current(timeline(known, 10), known, progress(waiting="waits for site-a", collaborators=failed), 5, NOW)
    assert [bar.round.round for bar in bars] == [3, 2, 1]
    assert (bars[0].going, bars[0].since, bars[0].waiting) == (True, 42.0, "waits for site-a")
    assert bars[0].failed == [Failure("site-b", "FileNotFoundError")]


def test_the_row_of_an_incomplete_round_becomes_that_of_the_round_that_goes_on():
    known = rounds(row(1, 0.8), row(2, 0.9), row(3, 0.9, complete=False, failed={"site-b": "OSError"}))
    bars = with_current(timeline(known, 10), known, progress(), 5, NOW)
    assert [(bar.round.round, bar.going) for bar in bars] == [(3, True), (2, False), (1, False)]
    assert bars[0].failed == [Failure("site-b", "OSError")]


def test_since_when_the_first_round_goes_on_is_not_known():
    (bar,) = with_current([], [], progress(roundsCompleted=0), 5, NOW)
    assert (bar.round.round, bar.since) == (1, None)


@pytest.mark.parametrize(("content", "total"), [({"started": False}, 5), ({}, 2)])
def test_no_round_goes_on_before_the_first_and_after_the_last(content, total):
    known = rounds(row(1, 0.8), row(2, 0.9))
    assert [bar.going for bar in with_current(timeline(known, 10), known, progress(**content), total, NOW)] == [False, False]
