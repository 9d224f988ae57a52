"""What the settings of a private run allow."""

from __future__ import annotations

from panal.api.types import DifferentialPrivacy
from panal.privacy import accountant

DELTA = 1e-5  # the default; in the CRD it would be a number with an exponent, which some parsers of YAML take for a text


def delta_of(settings: DifferentialPrivacy) -> float:
    return settings.delta or DELTA


def most_updates(settings: DifferentialPrivacy) -> int | None:
    """How many updates maxEpsilon allows each site; None if there is no limit."""
    if settings.max_epsilon is None:
        return None
    return accountant.most_updates(settings.noise_multiplier, delta_of(settings), settings.max_epsilon)
