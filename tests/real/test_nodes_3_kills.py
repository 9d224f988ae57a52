"""Any process may be killed at any moment, and any cable cut: what dies, when, and how the run has to end.

| what is lost                 | when                                   | expected end |
|------------------------------|----------------------------------------|--------------|
| the controller (kill -9)     | connecting, first round, last round    | Completed    |
| a collaborator of three      | connecting, first round, last round    | Completed    |
| the cable of one of three    | connecting, first round, last round    | Completed    |
| the aggregator's launcher    | connecting, first round, last round    | Failed, AggregatorLost |
| the aggregator's SuperLink   | connecting                             | Completed    |
| the aggregator's SuperLink   | first round, last round                | Failed, AggregatorLost |
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from engine import Engine
from fleet import Fleet
from runs import Run, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

NS = "runs"
ROUNDS = 3
SITES = ["cluster1", "cluster2", "cluster3"]
CUT_SECONDS = 15

WHEN: dict[str, Callable[[Run], object]] = {
    "connecting": lambda run: run.until(lambda s: bool(s.get("startTime")) and bool(run.works()), "the works are made", 60),
    "first": lambda run: run.until_running(),
    "last": lambda run: run.until_round(ROUNDS - 1),
}


def start(engine: Engine, name: str, minimum: int = 2) -> Run:
    slow = {"env": [{"name": "STEPS_SECONDS", "value": "2"}]}
    return apply(engine, NS, name, clusters=SITES, minimum=minimum, server={"rounds": ROUNDS}, client=slow)


def kill(fleet: Fleet, cluster: str, pattern: str) -> None:
    """kill -9 of the processes on a cluster's node whose command line matches; there must be one."""

    def killed() -> bool:
        try:
            return fleet.enter(cluster, "pkill", "-9", "-e", "-f", pattern) != ""
        except RuntimeError:
            return False  # not there yet

    eventually(killed, f"{pattern} is killed on {cluster}", 60)


def complete(run: Run) -> None:
    status = run.until_ended("Completed")
    assert status["rounds"]["summary"] == f"{ROUNDS}/{ROUNDS}"
    run.delete()
    eventually(lambda: not run.works(), "no work is left", 30)


def lost(run: Run) -> None:
    status = run.until_ended("Failed")
    assert run.reason() == "AggregatorLost", status
    run.until_cleaned()
    run.delete()


def test_the_controller_is_killed_three_times(runs: Fleet, engine: Engine) -> None:
    run = start(engine, "controller-killed")
    for moment in WHEN.values():
        moment(run)
        kill(runs, "hub", "panal-controller")
    complete(run)


def test_a_collaborator_is_killed_three_times(runs: Fleet, engine: Engine) -> None:
    """Another site's each time, so that there are always two."""
    run = start(engine, "site-killed")
    for site, moment in zip(SITES, WHEN.values(), strict=True):
        moment(run)
        kill(runs, site, "run.py supernode")
    complete(run)


def test_a_cable_is_cut_three_times(runs: Fleet, engine: Engine) -> None:
    run = start(engine, "cable-cut")
    for moment in WHEN.values():
        moment(run)
        runs.cut("cluster3")
        time.sleep(CUT_SECONDS)
        runs.restore("cluster3")
    complete(run)


@pytest.mark.parametrize("moment", WHEN)
def test_the_aggregators_launcher_is_killed(runs: Fleet, engine: Engine, moment: str) -> None:
    run = start(engine, f"launcher-killed-{moment}")
    WHEN[moment](run)
    kill(runs, "hub", "run.py launcher")
    lost(run)


@pytest.mark.parametrize("moment", ["first", "last"])
def test_the_aggregators_superlink_is_killed(runs: Fleet, engine: Engine, moment: str) -> None:
    run = start(engine, f"superlink-killed-{moment}")
    WHEN[moment](run)
    kill(runs, "hub", "run.py superlink|flower-superlink")
    lost(run)


def test_a_superlink_that_is_killed_before_the_run_was_submitted_costs_nothing(runs: Fleet, engine: Engine) -> None:
    run = start(engine, "superlink-killed-early")
    WHEN["connecting"](run)
    kill(runs, "hub", "run.py superlink|flower-superlink")
    complete(run)
