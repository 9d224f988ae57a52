"""What the aggregator is on the hub."""

from __future__ import annotations

from panal.lifecycle.decide import decide
from worlds import NOW, applied, run, running, status_after


def test_the_job_is_never_applied_again() -> None:
    assert not applied(decide(running(), NOW), "Job")


def test_more_rounds_may_be_asked_for_while_it_runs() -> None:
    plan = decide(running(run=run(status_after(running()), server={"rounds": 5})), NOW)
    assert next(o for o in applied(plan, "ConfigMap") if o["metadata"]["name"] == "digits-progress")["data"] == {"rounds": "5"}
    assert plan.status is not None
    assert plan.status.rounds.summary == "1/5"
