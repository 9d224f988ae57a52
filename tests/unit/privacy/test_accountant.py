"""What updates cost. tests/privacy compares the accountant with a published one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panal.privacy.accountant import composed, epsilon, least_noise, most_updates, rounded_up

NOISE = st.floats(1e-2, 100.0)
DELTA = st.floats(1e-12, 0.09)

# Updates, noise multiplier, δ, and the ε that dp-accounting 0.6.0 composes, rounded up to its grid of 1e-4.
COMPOSED = [(3, 2.0, 1e-5, 3.7086349369651237), (20, 1.0, 1e-5, 28.373473804682842)]


@pytest.mark.parametrize(("updates", "noise", "delta", "composed"), COMPOSED)
def test_it_agrees_with_a_library(updates: int, noise: float, delta: float, composed: float) -> None:
    assert epsilon(updates, noise, delta) == pytest.approx(composed, rel=1e-7)


def by_definition(mu: float, found: float) -> float:
    """δ as the integral of max(0, p - exp(ε) q), of the densities p of N(μ, 1) and q of N(0, 1), by the midpoint rule."""
    steps, low, high = 200_000, found / mu + mu / 2, found / mu + mu / 2 + 12
    width = (high - low) / steps
    points = (low + (n + 0.5) * width for n in range(steps))
    return sum(math.exp(-((x - mu) ** 2) / 2) - math.exp(found - x * x / 2) for x in points) * width / math.sqrt(2 * math.pi)


@pytest.mark.parametrize(("updates", "noise"), [(1, 4.0), (1, 1.0), (9, 1.5), (100, 2.0)])
def test_delta_is_what_the_definition_says(updates: int, noise: float) -> None:
    found = epsilon(updates, noise, 1e-5)
    assert by_definition(math.sqrt(updates) / noise, found) == pytest.approx(1e-5, rel=1e-5)


def test_no_update_costs_nothing() -> None:
    assert epsilon(0, 1.0, 1e-5) == 0.0


def test_extremes_are_finite() -> None:
    assert epsilon(10**6, 1e-6, 1e-15) == pytest.approx(5e17, rel=1e-6)  # μ²/2
    assert epsilon(1, 1e3, 0.1) == 0.0
    assert epsilon(1, 1e3, 1e-15) > 0


@given(st.integers(1, 5000), NOISE, DELTA)
def test_more_updates_cost_more_and_more_noise_less(updates: int, noise: float, delta: float) -> None:
    found = epsilon(updates, noise, delta)
    assert 0 <= found <= epsilon(updates + 1, noise, delta)
    assert epsilon(updates, noise * 1.5, delta) <= found
    assert epsilon(updates, noise, delta * 0.9) >= found


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(1e-3, 1000.0)), max_size=6), DELTA)
def test_runs_add_up_in_any_order_and_each_costs_something(runs: list[tuple[int, float]], delta: float) -> None:
    found = composed(runs, delta)
    assert found == composed(reversed(runs), delta)
    for n in range(len(runs)):
        assert composed(runs[:n], delta) <= found


@given(st.integers(1, 1000), st.integers(0, 1000), NOISE, DELTA)
def test_runs_with_the_same_noise_are_one_run(one: int, other: int, noise: float, delta: float) -> None:
    assert composed([(one, noise), (other, noise)], delta) == pytest.approx(epsilon(one + other, noise, delta), rel=1e-9, abs=1e-12)
    assert composed([(1, noise / one**0.5)], delta) == pytest.approx(epsilon(one, noise, delta), rel=1e-9, abs=1e-12)


def test_updates_without_noise_have_no_bound() -> None:
    assert composed([], 1e-5) == composed([(0, 0.0)], 1e-5) == 0.0
    assert composed([(1, 1.0), (1, 0.0)], 1e-5) == math.inf
    assert rounded_up(math.inf) == math.inf


@given(st.floats(1e-6, 1e6))
def test_what_is_rounded_stays_a_bound(value: float) -> None:
    assert value * (1 - 1e-9) <= rounded_up(value) <= value * (1 + 1e-4)


@given(st.floats(0.1, 50.0), DELTA, st.floats(1e-2, 500.0))
def test_the_limits_are_the_last_that_hold(noise: float, delta: float, most: float) -> None:
    updates = most_updates(noise, delta, most)
    assert updates == 0 or epsilon(updates, noise, delta) <= most
    assert epsilon(updates + 1, noise, delta) > most


@given(st.integers(1, 1000), DELTA, st.floats(1e-2, 500.0))
def test_the_least_noise_is_enough(updates: int, delta: float, most: float) -> None:
    found = least_noise(updates, delta, most)
    assert epsilon(updates, found, delta) <= most
    assert found == pytest.approx(float(f"{found:.4g}"), rel=1e-12)
    assert epsilon(updates, found * 0.998, delta) > most
