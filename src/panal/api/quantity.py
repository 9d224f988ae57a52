"""Quantities as Kubernetes writes them, such as 2Gi or 1.5e9."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_SUFFIXES: dict[str, int | Fraction] = {
    "": 1,
    **{s: Fraction(1, 1000**n) for n, s in enumerate("mun", 1)},
    **{s: 1000**n for n, s in enumerate("kMGTPE", 1)},
    **{f"{s}i": 1024**n for n, s in enumerate("KMGTPE", 1)},
}
LONGEST = 64  # characters: clusters write quantities of their own, and Kubernetes itself keeps 18 digits
_FORM = re.compile(
    rf"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:(?P<suffix>{'|'.join(_SUFFIXES)})|(?P<exponent>[eE][+-]?[0-9]{{1,2}}))",
    re.ASCII,
)


def exact(quantity: str) -> Fraction:
    """The value of a quantity. Raises ValueError, also for one so long, or of such an exponent, that it would take long to compute."""
    found = _FORM.fullmatch(quantity) if len(quantity) <= LONGEST else None
    if found is None:
        raise ValueError(f"{quantity[:LONGEST]!r} is not a quantity")
    number, suffix, exponent = found.group("number", "suffix", "exponent")
    return Fraction(f"{number}{exponent}") if exponent else Fraction(number) * _SUFFIXES[suffix]


def in_bytes(quantity: str) -> int:
    """`quantity` has the form that `panal.api.spec.SIZE` allows; the number of bytes is rounded up."""
    return math.ceil(exact(quantity))
