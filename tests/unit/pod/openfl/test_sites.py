"""What the aggregator knows of the sites."""

from __future__ import annotations

from panal.pod.tools.openfl.sites import ALIVE, Sites


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_participant_is_connected_as_long_as_it_gives_signs_of_life() -> None:
    clock = Clock()
    sites = Sites(clock)
    sites.hear("site1")
    assert sites.connected() == set()  # the participants are not known
    sites.participants = frozenset({"site1", "site2"})
    assert sites.connected() == {"site1"}
    clock.now += ALIVE
    sites.hear("site2")
    assert sites.connected() == {"site1", "site2"}
    clock.now += 0.1
    assert sites.connected() == {"site2"}
    sites.participants = frozenset({"site1"})
    assert sites.connected() == set()
    assert (sites.take_part("site1"), sites.take_part("site2")) == (True, False)


def test_the_seconds_of_a_task_begin_with_the_tasks_or_the_results_before() -> None:
    clock = Clock()
    sites = Sites(clock)
    sites.participants = frozenset({"site1"})
    sites.begin_round()
    sites.started("site1")
    clock.now += 2
    sites.started("site1")  # it asked again
    sites.finished("site1", "validate")
    clock.now += 5
    sites.finished("site1", "train")
    assert sites.seconds() == {"site1": {"validate": 2.0, "train": 5.0}}
    assert sites.at_work() == {"site1"}
    sites.begin_round()
    assert (sites.seconds(), sites.at_work()) == ({}, set())


def test_the_first_failure_of_a_participant_in_a_round_counts() -> None:
    sites = Sites()
    sites.participants = frozenset({"site1"})
    sites.fail("site1", "ValueError")
    sites.fail("site1", "NoReply")
    sites.fail("site9", "NoReply")
    assert sites.failed() == {"site1": "ValueError"}
    sites.begin_round()
    assert sites.failed() == {}
