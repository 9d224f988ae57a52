from fractions import Fraction

import pytest

from panal.api.quantity import exact, in_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("2k", 2000),
        ("2Ki", 2048),
        ("1.5Gi", 3 << 29),
        ("1e3", 1000),
        ("12E2", 1200),
        ("2E", 2 * 10**18),
        ("1Ei", 1 << 60),
        ("0.0001", 1),
    ],
)
def test_in_bytes(text, expected):
    assert in_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1500m", Fraction(3, 2)), ("0.5", Fraction(1, 2)), ("-20u", Fraction(-1, 50_000)), ("3n", Fraction(3, 10**9))]
)
def test_exact(text, expected):
    assert exact(text) == expected
