"""Real numbers as integers modulo 2^64, so that sums of them are exact and do not depend on their order.

A number is rounded to a multiple of 2^-28. What is rounded in the sum of n numbers is at most n · 2^-29, so in a weighted mean it is at
most 2^-29 divided by the mean weight. A sum must stay below 2^35 (3.4·10^10): with n sites, each number must stay below 2^35 / n.
"""

from __future__ import annotations

import math
from typing import Any

FRACTION = 28  # bits after the point
UNIT = float(1 << FRACTION)


class OutOfRangeError(ArithmeticError):
    """A number is too large, or it is not finite."""


def largest(sites: int) -> float:
    """The largest number of each of so many sites whose sum does not wrap."""
    return math.nextafter(2.0**63 / sites, 0.0) / UNIT


def encoded(numbers: Any, sites: int) -> Any:
    """A float64 array as uint64, of which so many are added up. Raises OutOfRangeError."""
    import numpy as np

    most = float(np.abs(numbers).max(initial=0.0))
    if not most <= largest(sites):
        raise OutOfRangeError(f"{most:.4g} is more than {largest(sites):.4g}, the most that {sites} sites may each have")
    return np.rint(numbers * UNIT).astype(np.int64).view(np.uint64)


def decoded(total: Any) -> Any:
    """The sum of encoded numbers, as float64."""
    import numpy as np

    return total.view(np.int64).astype(np.float64) / UNIT
