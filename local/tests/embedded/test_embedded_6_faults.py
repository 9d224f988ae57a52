"""The controller of the local platform behind an API server that refuses, throttles or fails one write of three, or answers late."""

from __future__ import annotations

import pytest

from faulty_api import CONFLICT, FAILING, SLOW, THROTTLED, Fault
from kill_suite import ROUNDS, start
from platform_engine import Platform

pytestmark = [pytest.mark.flower, pytest.mark.long]


@pytest.mark.parametrize("fault", [CONFLICT, THROTTLED, FAILING, SLOW], ids=lambda fault: fault.name)
def test_a_run_completes_and_leaves_nothing(engine: Platform, fault: Fault) -> None:
    with engine.behind(fault) as proxy:
        run = start(engine, f"fault-{fault.name}")
        status = run.until_ended("Completed")
        assert status["rounds"]["summary"] == f"{ROUNDS}/{ROUNDS}"
        run.delete()
        run.until_nothing_is_left()
        assert bool(proxy.refused) == bool(fault.code)
