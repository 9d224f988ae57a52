"""Kubernetes' quantities: `500m`, `1.5Gi`, `4`, `12e6`, as exact numbers, as floating ones, and as Kubernetes writes them itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

FORM = re.compile(r"([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d+))?", re.ASCII)
BINARY = {f"{letter}i": power * 10 for power, letter in enumerate("KMGTPE", start=1)}
DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY_NAMES = {power // 10: name for name, power in BINARY.items()}
DECIMAL_NAMES = {power: name for name, power in DECIMAL.items()}
NANO = -9


@dataclass(frozen=True, slots=True)
class Quantity:
    """`digits` times ten to the power of `scale`; `style` is how it was written: `Ki`, `k` or `e3`."""

    digits: int
    scale: int
    style: str

    @property
    def exact(self) -> Fraction:
        return Fraction(self.digits) * Fraction(10) ** self.scale

    def approximate(self) -> float:
        return float(self.digits) * float(f"1e{self.scale}") if self.scale else float(self.digits)

    def __str__(self) -> str:
        """As Kubernetes writes it: a whole number with the largest prefix that leaves it whole."""
        if not self.digits:
            return "0"
        exact = self.exact
        if self.style == "Ki" and abs(exact) >= 1024 and exact.denominator == 1:
            number, power = _without(exact.numerator, 1024)
            return f"{number}{BINARY_NAMES.get(power, '')}"
        number, power = _without(self.digits, 10)
        power += self.scale
        number, power = number * 10 ** (power % 3), power - power % 3
        suffix = f"e{power}" if self.style == "e3" and power else DECIMAL_NAMES.get(power, "")
        return f"{number}{suffix}"


def _without(number: int, factor: int) -> tuple[int, int]:
    """The number without the factor, and how often it was in it."""
    times = 0
    while number % factor == 0:
        number, times = number // factor, times + 1
    return number, times


@lru_cache(maxsize=4096)
def quantity(text: str) -> Quantity:
    """Raises ValueError for what is none. What is smaller than a nano, or finer, is rounded away from 0."""
    form = FORM.fullmatch(text)
    if not form:
        raise ValueError(f"{text!r} is not a quantity")
    sign, whole, fraction, only_fraction, binary, decimal, exponent = form.groups()
    decimals = fraction or only_fraction or ""
    digits, scale, style = int((whole or "") + decimals), -len(decimals), "k"
    if binary:
        digits, style = digits << BINARY[binary], "Ki"
    elif decimal:
        scale += DECIMAL[decimal]
    elif exponent:
        scale, style = scale + int(exponent), "e3"
    if scale < NANO:
        digits, scale = -(-digits // 10 ** (NANO - scale)), NANO
    return Quantity(-digits if sign == "-" else digits, scale, style)


def approximate(value: str | int) -> float:
    return quantity(str(value)).approximate()
