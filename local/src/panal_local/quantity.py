"""Kubernetes quantities, such as 500m, 2Gi or 1.5e9, as exact numbers."""

from __future__ import annotations

from fractions import Fraction

SUFFIXES: dict[str, int | Fraction] = {
    "": 1,
    **{s: Fraction(1, 1000**n) for n, s in enumerate("mun", 1)},
    **{s: 1000**n for n, s in enumerate("kMGTPE", 1)},
    **{f"{s}i": 1024**n for n, s in enumerate("KMGTPE", 1)},
}


def exact(text: str) -> Fraction:
    """The value of a quantity. Raises ValueError."""
    digits = text.rstrip("".join({c for s in SUFFIXES for c in s}))
    suffix = text[len(digits) :]
    return Fraction(digits) * SUFFIXES[suffix] if suffix in SUFFIXES else Fraction(text)
