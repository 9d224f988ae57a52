"""What the settings of a private run allow."""

from __future__ import annotations

from panal.api.types import DifferentialPrivacy
from panal.privacy import accountant


def most_updates(settings: DifferentialPrivacy) -> int | None:
    """How many updates maxEpsilon allows each site; None if there is no limit."""
    if settings.max_epsilon is None:
        return None
    return accountant.most_updates(settings.noise_multiplier, settings.delta, settings.max_epsilon)
