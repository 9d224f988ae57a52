"""The rounds of a run: how long each took, who was slow, who failed and why. From its history, and for the round that goes on from its
progress. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median

from panal.api.history import ClusterRound, Round
from panal.api.progress import Progress

SLOW = 2.0  # a straggler takes so many times as long as the median of its round,
SLOW_AT_LEAST = 1.0  # and so many seconds longer
STRAGGLERS = 5  # named in a row
FAILURES = 5


@dataclass(frozen=True, slots=True)
class Slow:
    cluster: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cluster's reply does not count. `text` is empty unless the site shares it, or the aggregator wrote it."""

    cluster: str
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A round. `phases`: name, seconds, and the share of the longest round, from 0 to 1. `failed`: the first ones, `more_failed` how many
    more. `since`: for how many seconds it has been going on, if it does; `waiting`: what it waits for."""

    round: Round
    phases: Sequence[tuple[str, float, float]]
    stragglers: Sequence[Slow]
    more_stragglers: int
    failed: Sequence[Failure]
    more_failed: int
    going: bool = False
    since: float | None = None
    waiting: str = ""


def timeline(rounds: Sequence[Round], most: int) -> list[Bar]:
    """The last `most` rounds, the newest first."""
    shown = list(rounds[-most:])
    longest = max((each.seconds or 0.0 for each in shown), default=0.0)
    return [_bar(each, longest) for each in reversed(shown)]


def _bar(each: Round, longest: float) -> Bar:
    phases = each.phases or ({"round": each.seconds} if each.seconds is not None else {})
    slow, failed = stragglers(each.clusters or {}), failures(each)
    return Bar(
        each,
        [(name, seconds, min(1.0, max(0.0, seconds / longest)) if longest > 0 else 0.0) for name, seconds in phases.items()],
        slow[:STRAGGLERS],
        max(0, len(slow) - STRAGGLERS),
        failed[:FAILURES],
        max(0, max(len(failed), each.failures) - FAILURES),
    )


def failures(each: Round) -> list[Failure]:
    """By cluster. A history that leaves out what clusters reported has their reasons without texts."""
    clusters = each.clusters or {}
    found = {name: Failure(name, row.reason, row.message) for name, row in clusters.items() if row.reason}
    return sorted({**{name: Failure(name, reason) for name, reason in each.failed.items()}, **found}.values(), key=lambda one: one.cluster)


def with_current(bars: Sequence[Bar], rounds: Sequence[Round], progress: Progress, total: int, now: datetime) -> list[Bar]:
    """`bars` with the round that goes on first, as far as the progress knows of it. `total`: rounds of the run, 0 if that is not known."""
    complete = [each for each in rounds if each.complete]
    number = max(progress.rounds_completed, complete[-1].round if complete else 0) + 1
    if not progress.started or (total and number > total):
        return list(bars)
    known = next((bar for bar in bars if bar.round.round == number and not bar.round.complete), None)
    bar = known or Bar(Round(round=number, complete=False), [], [], 0, [], 0)
    found = {one.cluster: one for one in bar.failed} | {
        name: Failure(name, each.reason, each.message)
        for name, each in progress.collaborators.items()
        if each.failed and each.round == number
    }
    failed = sorted(found.values(), key=lambda one: one.cluster)
    before = complete[-1].time if complete and complete[-1].round == number - 1 else None
    since = max(0.0, now.timestamp() - before) if before is not None else None
    current = replace(
        bar,
        failed=failed[:FAILURES],
        more_failed=max(bar.more_failed, len(failed) - FAILURES, 0),
        going=True,
        since=since,
        waiting=progress.waiting,
    )
    return [current, *(each for each in bars if each is not known)]


def stragglers(clusters: Mapping[str, ClusterRound]) -> list[Slow]:
    """Those that trained much longer than the others, the slowest first."""
    known = {cluster: row.seconds for cluster, row in clusters.items() if row.seconds is not None}
    if len(known) < 3:
        return []
    usual = median(known.values())
    slow = [Slow(name, seconds) for name, seconds in known.items() if seconds > usual * SLOW and seconds > usual + SLOW_AT_LEAST]
    return sorted(slow, key=lambda one: (-one.seconds, one.cluster))
