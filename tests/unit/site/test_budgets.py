"""Which data a budget is for, what a Pod says about its updates, and what they cost. tests/unit/site_controller has runs over time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from panal.privacy.accountant import epsilon
from panal.site.budgets import Spender, Terms, Usage, delta_of, figures, overlap, overspent, terms
from panal.site.policy import PrivacyBudget, SitePolicySpec

DIGITS = "pvc://digits"
OVERLAPS = [
    (DIGITS, DIGITS, True),
    (DIGITS, "pvc://digits/train", True),
    ("pvc://digits/train", DIGITS, True),
    ("pvc://digits/train", "pvc://digits/train/2026", True),
    ("pvc://digits/train", "pvc://digits/test", False),
    ("pvc://digits/train", "pvc://digits/trains", False),
    (DIGITS, "pvc://digits2", False),
    ("/data/a", "/data/a/b", True),
    ("/data/a", "/data", True),
    ("/data/a", "/", True),
    ("/data/a", "/data//a", True),
    ("/data/a", "/data/./a/", True),
    ("pvc://digits/train", "pvc://digits/./train//", True),
    ("/data/a", "/data/b", False),
    ("/digits", DIGITS, False),
    ("/a://b", "/a:/b/c", True),
    ("s3://bucket/a", "s3://bucket/a/b?endpoint=https://minio", True),
    ("s3://bucket/a", "s3://bucket?endpoint=https://minio/a", True),
    ("s3://bucket/a", "s3://bucket/b", False),
    ("None", "", True),
    ("None", DIGITS, False),
    (DIGITS, "", False),
]


@pytest.mark.parametrize(("budget", "location", "expected"), OVERLAPS)
def test_a_run_spends_from_what_it_mounts_is_in_or_contains(budget: str, location: str, expected: bool) -> None:
    assert overlap(budget, location) is expected
    assert overlap(location, budget) is expected


@pytest.mark.parametrize(
    ("said", "noise", "planned"),
    [
        ({"noiseMultiplier": 2, "plannedUpdates": 3}, 2.0, 3),
        ({"noiseMultiplier": 0.001, "plannedUpdates": 0}, 0.001, 0),
        ({"noiseMultiplier": 1e-9, "plannedUpdates": 3}, 0.0, 3),
        ({"noiseMultiplier": -1}, 0.0, 0),
        ({"noiseMultiplier": True, "plannedUpdates": True}, 0.0, 0),
        ({"noiseMultiplier": "2", "plannedUpdates": 2.0}, 0.0, 0),
        ({"noiseMultiplier": float("inf")}, 0.0, 0),
        ({"noiseMultiplier": float("nan")}, 0.0, 0),
        ({"noiseMultiplier": 1, "plannedUpdates": 10**30}, 1.0, 0),
        ({"noiseMultiplier": 10**400}, 0.0, 0),
        ([], 0.0, 0),
        (None, 0.0, 0),
    ],
)
def test_what_a_pod_says_of_its_updates(said: Any, noise: float, planned: int) -> None:
    assert terms("d", json.dumps(said)) == Terms("d", noise, planned)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"noiseMultiplier": 1' + "0" * 5000 + "}"])
def test_what_is_not_as_the_hub_writes_it_is_no_protection(text: str) -> None:
    assert terms("d", text) == Terms("d")


def budget(**more: Any) -> PrivacyBudget:
    return PrivacyBudget.model_validate({"data": DIGITS, "epsilon": 4} | more)


def test_the_figures_are_those_of_one_mechanism() -> None:
    usage = Usage(
        {("pvc://digits/a", 2.0): 3, (DIGITS, 1.0): 1, (DIGITS, 0.0): 7, ("pvc://scans", 1.0): 9},
        {
            "runs": Spender(1, 1, Terms(DIGITS, 2.0, 4)),
            "ended": Spender(9, 9),
            "beyond": Spender(5, 6, Terms(DIGITS, 1.0, 3)),
            "elsewhere": Spender(0, 0, Terms("pvc://scans", 1.0, 3)),
        },
    )
    found = figures(budget(), usage)
    assert found.spent == pytest.approx(epsilon(7, 2.0, 1e-5), rel=1e-5)  # 3/4 + 1 is 7/4
    assert found.planned == pytest.approx(epsilon(14, 2.0, 1e-5), rel=1e-5)  # and 3/4 + 1
    assert (found.updates, found.unprotected) == (4, 7)
    assert found.spent + found.record()["reserved"] == pytest.approx(found.planned, rel=1e-5)


def test_delta_counts() -> None:
    usage = Usage({(DIGITS, 2.0): 3})
    assert figures(budget(delta=1e-3), usage).spent < figures(budget(), usage).spent
    assert (delta_of(budget()), delta_of(budget(delta=0)), delta_of(budget(delta=1e-3))) == (1e-5, 1e-5, 1e-3)


def test_a_run_that_has_reserved_does_not_stand_in_its_own_way() -> None:
    wanted = Terms(DIGITS, 2.0, 3)
    exactly = budget(epsilon=epsilon(3, 2.0, 1e-5) * 1.00001)
    for done in range(4):
        usage = Usage({(DIGITS, 2.0): done}, {"run": Spender(done, done, wanted)})
        assert overspent([exactly], usage, "run", wanted) == ""
    assert overspent([exactly], Usage({(DIGITS, 2.0): 3}, {"run": Spender(3, 4, wanted)}), "run", wanted)
    assert overspent([exactly], Usage({}, {"other": Spender(0, 0, wanted)}), "run", wanted)


@pytest.mark.parametrize("wrong", [{"epsilon": 0}, {"epsilon": 5000}, {"delta": 0.5}, {"delta": -1}, {"data": ""}])
def test_a_wrong_budget_makes_the_policy_invalid(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SitePolicySpec.model_validate({"privacyBudgets": [{"data": DIGITS, "epsilon": 4} | wrong]})
