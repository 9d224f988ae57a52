"""Any process may be killed at any moment, and any cable cut: what dies, when, and how the run has to end.

| what is lost                 | when                                   | expected end |
|------------------------------|----------------------------------------|--------------|
| the controller (kill -9)     | connecting, first round, last round    | Completed    |
| a collaborator of three      | connecting, first round, last round    | Completed    |
| the cable of one of three    | connecting, first round, last round    | Completed    |
| the aggregator's launcher    | connecting, first round, last round    | Completed    |
| the aggregator's SuperLink   | connecting, first round, last round    | Completed    |

A lost aggregator is followed by another one, which goes on after the last checkpoint: no round counts twice.

A module of tests takes them with `from kill_suite import *` and has a fixture `engine`; all are told side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from engine import HUB, Engine
from runs import Run, apply
from stories import story
from waiting import eventually

NS = "runs"
ROUNDS, MINIMUM = 3, 2
SITES = ["cluster1", "cluster2", "cluster3"]
SLOW = 6  # seconds of a round whose end must not come before the kill, on a busy machine as well
CUT_SECONDS = 15


def submitted(run: Run) -> None:
    """The run is Running, and the SuperLink has the app: a SuperLink that dies earlier is only restarted."""
    run.until_running()
    logs = lambda: "".join(run.engine.logs(NS, pod) for pod in run.aggregators())  # noqa: E731
    eventually(lambda: "panal: submitting" in logs(), f"{run.name}: the app is submitted", 60)


WHEN: dict[str, Callable[[Run], object]] = {
    "connecting": lambda run: run.until(lambda s: bool(s.get("startTime")) and bool(run.works()), "the works are made", 60),
    "first": lambda run: submitted(run),
    "last": lambda run: run.until_round(ROUNDS - 1),
}


def start(engine: Engine, name: str, sites: list[str] = SITES, seconds: int = 2) -> Run:
    """`seconds` is what a round takes at least."""
    slow = {"env": [{"name": "STEPS_SECONDS", "value": str(seconds)}]}
    return apply(engine, NS, name, clusters=sites, minimum=MINIMUM, server={"rounds": ROUNDS}, client=slow)


def complete(run: Run) -> None:
    status = run.until_ended("Completed")
    assert status["rounds"]["summary"] == f"{ROUNDS}/{ROUNDS}"
    run.until_cleaned(30)
    run.delete()


def goes_on(run: Run) -> None:
    """Another aggregator has followed, and no round counts twice or is missing."""
    status = run.until(lambda s: bool(s.get("restarts")), "another aggregator", 60)
    assert status["restarts"]["count"] == 1, run.story()
    before = status["rounds"]["checkpoint"]
    status = run.until_ended("Completed")
    assert status["rounds"]["summary"] == f"{ROUNDS}/{ROUNDS}"
    assert status["rounds"]["resumed"] >= before
    rounds = [run.rounds_of(site) for site in SITES]
    assert all(sorted(set(each)) == each for each in rounds), run.story()
    assert all(sum(number in each for each in rounds) >= MINIMUM for number in range(1, ROUNDS + 1)), run.story()
    run.until_cleaned(30)
    run.delete()


@story()
def test_the_controller_is_killed_three_times(engine: Engine) -> None:
    run = start(engine, "controller-killed", seconds=10)  # a kubelet lets it wait for 10 s before it starts the second time
    for moment in WHEN.values():
        moment(run)
        engine.kill_controller()
    complete(run)


@story()
def test_a_collaborator_is_killed_three_times(engine: Engine) -> None:
    """Another site's each time, so that there are always two."""
    run = start(engine, "site-killed", seconds=SLOW)
    for site, moment in zip(SITES, WHEN.values(), strict=True):
        moment(run)
        run.kill(site, "run.py flower supernode")
    complete(run)


@story()
def test_a_cable_is_cut_three_times(engine: Engine) -> None:
    run = start(engine, "cable-cut", ["cluster1", "cluster2", "cluster4"], seconds=SLOW)
    for moment in WHEN.values():
        moment(run)
        engine.cut("cluster4")
        time.sleep(CUT_SECONDS)
        engine.restore("cluster4")
    complete(run)


@story(*WHEN)
def test_the_aggregators_launcher_is_killed(engine: Engine, moment: str) -> None:
    run = start(engine, f"launcher-killed-{moment}", seconds=SLOW)
    WHEN[moment](run)
    run.kill(HUB, "run.py flower launcher")
    goes_on(run)


@story("first", "last")
def test_the_aggregators_superlink_is_killed(engine: Engine, moment: str) -> None:
    run = start(engine, f"superlink-killed-{moment}", seconds=SLOW)
    WHEN[moment](run)
    run.kill(HUB, "run.py flower superlink|flower-superlink")
    goes_on(run)


@story()
def test_a_superlink_that_is_killed_before_the_run_was_submitted_costs_nothing(engine: Engine) -> None:
    run = start(engine, "superlink-killed-early")
    WHEN["connecting"](run)
    run.kill(HUB, "run.py flower superlink|flower-superlink")
    complete(run)
