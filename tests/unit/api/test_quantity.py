import pytest

from panal.api.quantity import in_bytes


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
