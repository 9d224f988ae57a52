"""What accounts may do, on engines where somebody checks it: those with a real API server.

A module of tests takes them with `from rights_suite import *`, beside those of `failure_suite`.
"""

from __future__ import annotations

import time

import pytest

from engine import EngineWithRights
from failure_suite import NS
from runs import Run, apply


@pytest.mark.parametrize("kind", ["secrets", "clusterroles"])
def test_the_runs_own_account_may_touch_its_progress_only(failing: dict[str, Run], engine: EngineWithRights, kind: str) -> None:
    assert not engine.may("clients-raise-reporter", NS, "list", kind)


def test_a_controller_without_its_rights_goes_on_when_it_has_them_again(engine: EngineWithRights) -> None:
    run = apply(engine, "runs", "forbidden", clusters=["cluster1", "cluster2"], server={"rounds": 3})
    run.until_running()
    with engine.without_rights():
        time.sleep(10)  # for as long
    status = run.until_ended("Completed")
    assert status["rounds"]["summary"] == "3/3"
    run.until_cleaned()
    run.delete()
