"""How many runs of a namespace may be active at once: the annotation `fl.panal/max-active-runs` of the namespace.

Active are runs that have neither ended nor are suspended. Those that have started come first, then the others by age. A run beyond the
limit waits; none is stopped because of it. A run that waits for the model of another one is passed over: it may wait for a run that is
younger than itself.
"""

from __future__ import annotations

from panal.api import names
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.world import OtherRun, Run, World

NAMED = 5  # runs in the message


def reached(world: World) -> Trouble | None:
    """Why the run, which has not started, may not start now; None if it may."""
    text = world.run_limit
    if text is None:
        return None
    annotation = f"the annotation {names.ANNOTATION_MAX_ACTIVE_RUNS} of namespace {world.run.namespace}"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return Trouble.of(Reason.RUN_LIMIT_REACHED, f'{annotation} is "{text}", which is no number of runs')
    before = [other.name for other in world.active_runs if _comes_before(other, world.run)]
    if len(before) < int(text):
        return None
    return Trouble.of(Reason.RUN_LIMIT_REACHED, f"{annotation} is {text}{_named(before)}")


def _comes_before(other: OtherRun, run: Run) -> bool:
    if other.started:
        return True
    return (other.created, other.name) < (run.created, run.name) and other.reason != Reason.INITIAL_MODEL_PENDING


def _named(before: list[str]) -> str:
    if not before:
        return ""
    more = f" and {len(before) - NAMED} more" if len(before) > NAMED else ""
    come = "run comes" if len(before) == 1 else "runs come"
    return f", and {len(before)} {come} before this one: {', '.join(before[:NAMED])}{more}"
