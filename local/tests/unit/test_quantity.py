from fractions import Fraction

import pytest

from panal_local.quantity import exact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", 4),
        ("1500m", Fraction(3, 2)),
        ("0.5", Fraction(1, 2)),
        ("-20u", Fraction(-1, 50_000)),
        ("3n", Fraction(3, 10**9)),
        ("1.5Gi", 3 << 29),
        ("2k", 2000),
        ("12e6", 12_000_000),
        ("1E", 10**18),
    ],
)
def test_exact(text, expected):
    assert exact(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "1Kg", "one"])
def test_invalid_quantities(text):
    with pytest.raises(ValueError):
        exact(text)
