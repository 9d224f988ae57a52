"""Limits the log lines for refused requests per cluster, so that a flood of requests neither fills the log nor hides other clusters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

LINES, PERIOD = 100, 60.0  # lines of a cluster per period in seconds
CLUSTERS = 4096


@dataclass
class Spent:
    since: float
    lines: int = 0
    left_out: int = 0


class Refusals:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, Spent] = {}

    def lines(self, cluster: str, line: str) -> list[str]:
        """The lines to log for a refusal: `line` within the limit, preceded by the number of lines left out in the previous period."""
        with self._lock:
            now = self._clock()
            if len(self._spent) > CLUSTERS:
                self._spent.clear()
            spent = self._spent.setdefault(cluster, Spent(now))
            found: list[str] = []
            if now - spent.since >= PERIOD:
                if spent.left_out:
                    found.append(f"refused: cluster={cluster} {spent.left_out} more times, not logged one by one")
                spent.since, spent.lines, spent.left_out = now, 0, 0
            if spent.lines >= LINES:
                spent.left_out += 1
                return found
            spent.lines += 1
            return [*found, line]
