"""Whether a run has secure aggregation, and the strategies and apps that cannot have it. `secure_exchange` does it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..files import RunError
from ..secure_aggregation.roster import threshold_of
from .codes import FlowerEnding
from .cohort import EXAMPLES
from .journal import Journal
from .masking import least_threshold
from .robust import unsuited

FIELD = "spec.privacy.secureAggregation"


@dataclass(frozen=True)
class SecureAggregation:
    """Whether the run has it, and the threshold that it sets; 0 if it sets none."""

    wanted: bool = False
    least: int = 0

    @classmethod
    def of_the_run(cls) -> SecureAggregation:
        least = least_threshold(os.environ)
        return cls() if least is None else cls(True, least)

    def __str__(self) -> str:
        return "secure aggregation"

    def fewest(self, asked: int) -> int:
        """How many updates there must be of so many sites."""
        return threshold_of(asked, self.least) if self.wanted else 0

    def require(self, journal: Journal, strategy: Any, arrays: Mapping[str, Any] | None, *, own_start: bool) -> None:
        """Raises RunError if the updates for this strategy cannot be aggregated securely."""
        if not self.wanted:
            return
        key = str(getattr(strategy, "weighted_by_key", EXAMPLES[0]))
        weighted = "" if key in EXAMPLES else f"{type(strategy).__name__} weights updates by {key}, and only {EXAMPLES[0]} is masked"
        if why := unsuited(strategy, arrays or {}, own_start=own_start) or weighted:
            self.refuse(journal, why)

    def refuse(self, journal: Journal, why: str) -> None:
        """Raises RunError if the run wants it."""
        if self.wanted:
            message = f"{FIELD} is not possible: {why}"
            journal.stopped(FlowerEnding.AGGREGATION_NOT_POSSIBLE, message)
            raise RunError(FlowerEnding.AGGREGATION_NOT_POSSIBLE, message)
