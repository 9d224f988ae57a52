"""Quantities as Kubernetes writes them, such as 2Gi or 1.5e9."""

from __future__ import annotations

import math
from fractions import Fraction

_SUFFIXES: dict[str, int | Fraction] = {
    "": 1,
    **{s: Fraction(1, 1000**n) for n, s in enumerate("mun", 1)},
    **{s: 1000**n for n, s in enumerate("kMGTPE", 1)},
    **{f"{s}i": 1024**n for n, s in enumerate("KMGTPE", 1)},
}
_LETTERS = "".join({c for s in _SUFFIXES for c in s})


def exact(quantity: str) -> Fraction:
    """The value of a quantity. Raises ValueError."""
    digits = quantity.rstrip(_LETTERS)
    suffix = quantity[len(digits) :]
    return Fraction(digits) * _SUFFIXES[suffix] if suffix in _SUFFIXES else Fraction(quantity)


def in_bytes(quantity: str) -> int:
    """`quantity` has the form that `panal.api.spec.SIZE` allows; the number of bytes is rounded up."""
    return math.ceil(exact(quantity))
