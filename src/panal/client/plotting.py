"""The geometry of a curve over rounds, for the charts of the dashboard and of notebooks. Pure.

A value that is not finite, or a round without one, is a gap in the curve. A curve has at most MOST points: of more rounds, evenly spread
ones are drawn, and the first and last are among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from panal.api.figures import number

MOST = 300  # points of a curve
LARGEST = 1e150  # a larger value is not drawn, like one that is not finite: differences of such values are not finite
Points = Mapping[int, float]  # the value of each round


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)


def drawn(value: float) -> bool:
    return abs(value) < LARGEST  # NaN is not


def nice(low: float, high: float, most: int = 5) -> list[float]:
    """About `most` round numbers from `low` to `high`."""
    raw = (high - low) / (most - 1)
    if not high > low or raw < abs(high) * 1e-12 or raw < 1e-300:  # further apart than numbers can tell
        return [low]
    size = 10.0 ** math.floor(math.log10(raw))
    step = next((size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw), size * 10)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [each * step for each in range(first, last + 1)]


def thinned(rounds: Sequence[int], most: int = MOST) -> list[int]:
    """At most `most` of them, evenly spread, with the first and the last."""
    if len(rounds) <= most:
        return list(rounds)
    step = (len(rounds) - 1) / (most - 1)
    return [rounds[round(each * step)] for each in range(most)]


def runs(points: Points) -> list[list[tuple[int, float]]]:
    """The points in pieces without a gap: a round that is missing, or whose value is not finite, ends a piece."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for before, now in pairwise([None, *sorted(points)]):
        assert now is not None
        if before is not None and now != before + 1:
            pieces.append([])
        if drawn(points[now]):
            pieces[-1].append((now, points[now]))
        else:
            pieces.append([])
    return [piece for piece in pieces if piece]


def span(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    if low == high:
        room = abs(low) / 10 or 1.0
        return low - room, high + room
    return low, high


def labelled(value: float, ticks: Sequence[float]) -> str:
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 0
    return "0" if abs(value) < step / 1000 else number(value)
