"""The aggregator's objects on the hub."""

from __future__ import annotations

from panal.lifecycle.decide import decide
from worlds import NOW, applied, run, running, status_after


def test_an_existing_job_is_not_applied() -> None:
    assert not applied(decide(running(), NOW), "Job")


def test_rounds_can_be_raised_during_the_run() -> None:
    plan = decide(running(run=run(status_after(running()), server={"rounds": 5})), NOW)
    assert next(o for o in applied(plan, "ConfigMap") if o["metadata"]["name"] == "digits-progress")["data"] == {"rounds": "5"}
    assert plan.status is not None
    assert plan.status.rounds.summary == "1/5"
