"""What ends a run from outside, in any phase: spec.stop and spec.activeDeadlineSeconds."""

from __future__ import annotations

from datetime import datetime, timedelta

from panal.lifecycle.aggregator_state import aggregator_state
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.world import World


def stopped(world: World, now: datetime) -> Trouble | None:
    return _stop_requested(world, now) or _deadline_exceeded(world, now)


def deadline_left(world: World, now: datetime) -> float | None:
    """Seconds until just after the deadline; None if the run has none."""
    seconds = world.run.spec.active_deadline_seconds
    return (world.run.created + timedelta(seconds=seconds) - now).total_seconds() + 0.1 if seconds is not None else None


def _stop_requested(world: World, now: datetime) -> Trouble | None:
    """None for a run that has completed in the meantime."""
    if not world.run.spec.stop or aggregator_state(world, now).completed:
        return None
    return Trouble.of(Reason.STOPPED, f"spec.stop is set; the run was {_progress(world)}")


def _deadline_exceeded(world: World, now: datetime) -> Trouble | None:
    seconds = world.run.spec.active_deadline_seconds
    if seconds is None or now < world.run.created + timedelta(seconds=seconds):
        return None
    return Trouble.of(Reason.DEADLINE_EXCEEDED, f"spec.activeDeadlineSeconds ({seconds}) is over; the run was {_progress(world)}")


def _progress(world: World) -> str:
    return f"{world.run.status.phase}: {world.run.status.message}" if world.run.has_status else "Waiting"
