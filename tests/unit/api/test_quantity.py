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
    "text",
    [
        "",
        "many",
        "Ki",
        "1/3",
        "1/0",
        "1_000",
        "nan",
        "1e",
        "1Kii",
        " 1",
        "\u0661",
        "1e300000000",
        "1e-300000000",
        "1e100",
        "1" * 65,
        "1" * 10**6,
    ],
)
def test_what_is_no_quantity_is_refused_at_once(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        exact(text)


@pytest.mark.parametrize("text", ["1e99", "9e-99", "-1.5", "+2", ".5", "1.", "1e+3", "100m", "2E"])
def test_other_forms_are_quantities(text):
    assert float(exact(text))
