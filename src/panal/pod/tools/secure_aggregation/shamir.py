"""Shamir's secret sharing of 32 bytes, over the integers modulo a prime: any `threshold` shares give the secret, fewer give nothing.

The secret is the value at 0 of a random polynomial of degree `threshold` - 1; share number n is its value at n.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

PRIME = 2**256 + 297  # the smallest one beyond all secrets
SECRET, SHARE = 32, 33  # bytes


def split(secret: bytes, threshold: int, count: int) -> list[bytes]:
    """The shares with the numbers 1 … `count`."""
    coefficients = [*(secrets.randbelow(PRIME) for _ in range(threshold - 1)), int.from_bytes(secret, "big")]
    return [_value(coefficients, number).to_bytes(SHARE, "big") for number in range(1, count + 1)]


def _value(coefficients: Sequence[int], at: int) -> int:
    """The value of a polynomial whose coefficients begin with that of the highest power."""
    found = 0
    for each in coefficients:
        found = (found * at + each) % PRIME
    return found


def weights(numbers: Sequence[int]) -> list[int]:
    """What the shares with these numbers are multiplied with, so that they add up to the secret."""
    found = []
    for number in numbers:
        above = below = 1
        for other in numbers:
            if other != number:
                above, below = above * other % PRIME, below * (other - number) % PRIME
        found.append(above * pow(below, -1, PRIME) % PRIME)
    return found


def combined(of: Sequence[int], shares: Sequence[bytes]) -> bytes:
    """The secret, from as many shares as the threshold, and their `weights`. Raises ValueError if they are not shares of one secret; not
    every wrong share is noticed."""
    found = sum(weight * int.from_bytes(share, "big") for weight, share in zip(of, shares)) % PRIME
    try:
        return found.to_bytes(SECRET, "big")
    except OverflowError:
        raise ValueError("the shares do not fit each other") from None
