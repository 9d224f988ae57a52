"""Decides when a round ends. Pure: the aggregator asks several times a second.

A round waits for the connected participants. It ends early when some are much slower than the minimum needs, and always at the round's
timeout. Waiting for too few participants ends the run after the quorum's timeout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..codes import Ending
from ..files import RunError

SETTLE = 30.0  # seconds that a round waits at least for the others once the minimum has replied
NAMED = 3  # failures that a message names


@dataclass(frozen=True)
class Limits:
    """Of the resource: collaborators, and seconds."""

    min_clients: int = 1
    quorum_timeout: float = 600.0
    round_timeout: float = 3600.0
    straggler_grace: float | None = None  # how long a round waits once the minimum has replied; None: as long again, and SETTLE at least


@dataclass(frozen=True)
class View:
    """A round at one moment. `done` and `failed` are participants that have replied or cannot (with the reason); `seconds` since the
    round's start; `enough_after`: seconds after which the minimum had replied, if it has; `short_for`: seconds without a quorum."""

    number: int
    connected: frozenset[str]
    done: frozenset[str]
    failed: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    enough_after: float | None = None
    short_for: float = 0.0


def is_over(view: View, limits: Limits) -> bool:
    """Whether the round can be aggregated now. Raises RunError if it cannot any more."""
    waiting = view.connected - view.done - view.failed.keys()
    if len(view.done) >= limits.min_clients:
        return not waiting or _settled(view, limits) or view.seconds >= limits.round_timeout
    if len(view.connected) < limits.min_clients and view.short_for >= limits.quorum_timeout:
        few = f"Fewer than {limits.min_clients} collaborators were connected for {limits.quorum_timeout:.0f} s ({len(view.connected)} now)"
        raise RunError(Ending.QUORUM_LOST, few)
    answered = not waiting and len(view.connected | view.failed.keys()) >= limits.min_clients and bool(view.failed)
    if answered or view.seconds >= limits.round_timeout:
        raise too_few(view, limits)
    return False


def _settled(view: View, limits: Limits) -> bool:
    if view.enough_after is None:
        return False
    grace = max(SETTLE, view.enough_after) if limits.straggler_grace is None else limits.straggler_grace
    return view.seconds >= view.enough_after + grace


def too_few(view: View, limits: Limits) -> RunError:
    """Names the clusters whose replies are missing."""
    missing = {**dict.fromkeys(view.connected - view.done, "NoReply"), **view.failed}
    named = ", ".join(f"{cluster}: {missing[cluster]}" for cluster in sorted(missing)[:NAMED]) or "no reply"
    more = f", and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    replied = f"{len(view.done)} of {len(view.done) + len(missing)} collaborators replied"
    reason = (
        Ending.ALL_COLLABORATORS_FAILED if view.failed and not view.done and missing.keys() == view.failed.keys() else Ending.QUORUM_LOST
    )
    return RunError(reason, f"Round {view.number}: {replied}, {limits.min_clients} needed ({named}{more})")
