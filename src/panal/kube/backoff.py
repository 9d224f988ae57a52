"""Delays between retries."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Jitter = Callable[[], float]  # a number from 0 to 1


@dataclass(frozen=True, slots=True)
class Backoff:
    """A delay of `first` seconds that doubles with each attempt up to `cap`. The jitter removes up to half of it to spread retries."""

    first: float
    cap: float
    jitter: Jitter = random.random

    def delay(self, attempt: int) -> float:
        """The delay in seconds after the `attempt`-th consecutive failure, counted from 1."""
        full = min(self.cap, self.first * 2.0 ** min(attempt - 1, 30))
        return full * (1 - self.jitter() / 2)
