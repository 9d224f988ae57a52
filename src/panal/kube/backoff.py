"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Jitter = Callable[[], float]  # a number from 0 to 1


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first` seconds, doubled with every attempt up to `cap`; the jitter takes up to half of it away, so that waiters spread."""

    first: float
    cap: float
    jitter: Jitter = random.random

    def delay(self, attempt: int) -> float:
        """Seconds after the `attempt`-th failure in a row, counted from 1."""
        full = min(self.cap, self.first * 2.0 ** min(attempt - 1, 30))
        return full * (1 - self.jitter() / 2)
