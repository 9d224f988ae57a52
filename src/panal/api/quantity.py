"""Quantities as Kubernetes writes them, such as 2Gi or 1.5e9."""

from __future__ import annotations

import math
from fractions import Fraction

_SUFFIXES: dict[str, int] = {
    "": 1,
    **{s: 1000**n for n, s in enumerate("kMGTPE", 1)},
    **{f"{s}i": 1024**n for n, s in enumerate("KMGTPE", 1)},
}


def in_bytes(quantity: str) -> int:
    """`quantity` has the form that `panal.api.spec.SIZE` allows; the number of bytes is rounded up."""
    digits = quantity.rstrip("".join({c for s in _SUFFIXES for c in s}))
    if quantity[len(digits) :] in _SUFFIXES:
        return math.ceil(Fraction(digits) * _SUFFIXES[quantity[len(digits) :]])
    return math.ceil(Fraction(quantity))
