"""What follows the loss of the aggregator: another one, which goes on after the last checkpoint, or the end of the run.

An aggregator is lost if it was killed or evicted, if its node or its Job is gone, or if its programs say so. Its successor is another Job;
Service, collaborators and progress stay. A run whose state cannot be restored (NotResumable, StateLost) follows
spec.server.onAggregatorLoss. A run ends if MOST aggregators in a row are lost without a further round.
"""

from __future__ import annotations

from datetime import datetime

from panal.api.types import OnAggregatorLoss, RestartsStatus
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.runtime import runtime_of
from panal.lifecycle.world import World

MOST = 5


def successor(world: World, lost: Trouble, now: datetime) -> RestartsStatus | Trouble:
    """The count with this loss if another aggregator starts; otherwise why the run fails."""
    before = world.run.status.restarts or RestartsStatus()
    uid = world.job.uid if world.job else ""
    if uid and uid == before.lost:
        return before  # it is counted, and its deletion is not in the cache yet
    done = max(world.progress.rounds_completed if world.progress else 0, world.run.status.rounds.completed)
    in_vain = before.in_vain + 1 if before.count and done <= before.round else 1
    if why := _no_successor(world, lost, in_vain):
        return Trouble.of(lost.reason, f"{lost.message.rstrip('.')}{why}", runtime_of(world).remedies)
    return RestartsStatus(
        count=before.count + 1, in_vain=in_vain, round=max(done, before.round), time=now, lost=uid, message=lost.message.rstrip(".")
    )


def _no_successor(world: World, lost: Trouble, in_vain: int) -> str:
    if in_vain > MOST:
        return f"; {MOST} aggregators were lost before it without a further round"
    if world.run.spec.server.on_aggregator_loss is OnAggregatorLoss.FAIL and (why := _not_resumable(world, lost)):
        return f"; the run cannot go on ({why}), and spec.server.onAggregatorLoss is Fail"
    return ""


def _not_resumable(world: World, lost: Trouble) -> str:
    if lost.reason == Reason.STATE_LOST:
        return "a state is lost"
    return world.progress.notices.get(Reason.NOT_RESUMABLE, "") if world.progress else ""
