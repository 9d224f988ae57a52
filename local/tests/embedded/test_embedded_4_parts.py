"""A run completes after kill -9 of any part of the local platform, of its supervisor, or of all processes, at any moment.

| what is killed (kill -9)                                        | when                                  | expected end |
|-----------------------------------------------------------------|---------------------------------------|--------------|
| the supervisor                                                  | connecting, first round, last round   | Completed    |
| the hub; panal's controller                                     | connecting, first round, last round   | Completed    |
| a managed cluster                                               | connecting, first round, last round   | Completed    |
| all of them together, then `panal up`                           | connecting, first round, last round   | Completed    |

After the deletion of the run, none of its objects and processes remain.
"""

from __future__ import annotations

import pytest

from engine import HUB
from kill_suite import ROUNDS, SITES, WHEN, start
from local_pods import processes
from panal_local.supervisor.folder import SUPERVISOR
from platform_engine import CONTROLLER, Platform
from runs import Run
from stories import story
from waiting import eventually

pytestmark = [pytest.mark.flower, pytest.mark.long]

PARTS = (SUPERVISOR, HUB, CONTROLLER, "cluster1")


def completes_and_leaves_nothing(engine: Platform, run: Run) -> None:
    status = run.until_ended("Completed")
    assert status["rounds"]["summary"] == f"{ROUNDS}/{ROUNDS}"
    run.delete()
    run.until_nothing_is_left()
    for site in SITES:
        eventually(lambda site=site: not run.collaborators(site), f"no Pod is left on {site}", 60)
    for cluster in (HUB, *SITES):
        ended = lambda cluster=cluster: not processes(engine.node(cluster), f"{run.name}-")  # noqa: E731
        eventually(ended, f"no process is left on {cluster}", 30)


@story(*PARTS)
def test_a_part_is_killed_three_times(engine: Platform, part: str) -> None:
    run = start(engine, f"killed-{part}")
    for moment in WHEN.values():
        moment(run)
        engine.kill_part(part)
    completes_and_leaves_nothing(engine, run)


def test_all_are_killed_together(engine: Platform) -> None:
    run = start(engine, "all-killed")
    for moment in WHEN.values():
        moment(run)
        engine.kill_everything()
    completes_and_leaves_nothing(engine, run)
