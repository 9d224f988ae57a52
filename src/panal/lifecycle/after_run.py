"""What follows a Completed run, one after the other: the export of its model, the validation, the publication.

Each is a Job with a condition of its own; the next one begins when that condition is True or False.
"""

from __future__ import annotations

from datetime import datetime

from panal.lifecycle import export, model_job, publication, validation
from panal.lifecycle.plan import Plan
from panal.lifecycle.world import World

STEPS = (export.step, validation.step, publication.step)


def after_run(world: World, plan: Plan, now: datetime) -> Plan:
    """Adds the first step that has not ended to the plan of an ended run."""
    jobs = (job for step in STEPS if (job := step(world, now)) is not None)
    going = next((job for job in jobs if model_job.is_open(world.run.status, job.condition)), None)
    return model_job.follow(world, plan, going, now) if going else plan
