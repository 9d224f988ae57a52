"""Clipping and noise, on arrays of any shape and type of floats."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from panal.pod.tools import gaussian

TYPES = ["f2", "f4", "f8", ">f4", ">f8"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


def seeded(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def arrays(dtype: str, most: float = 1e3) -> st.SearchStrategy[np.ndarray]:
    numbers = st.floats(-most, most, width=16)
    return SHAPES.flatmap(lambda shape: hnp.arrays(np.dtype(dtype), shape, elements=numbers))


pairs = st.lists(
    st.sampled_from(TYPES).flatmap(
        lambda dtype: arrays(dtype).flatmap(
            lambda a: st.tuples(st.just(a), hnp.arrays(a.dtype, a.shape, elements=st.floats(-1e3, 1e3, width=16)))
        )
    ),
    min_size=1,
    max_size=4,
)


def norm(found: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return gaussian.norm(block for before, after in found for block in gaussian.differences(before, after))


@given(pairs)
def test_the_norm_is_over_all_arrays_in_float64(found: list[tuple[np.ndarray, np.ndarray]]) -> None:
    both = [(before.astype(np.float64), after.astype(np.float64)) for before, after in found]
    assert norm(found) == pytest.approx(math.sqrt(sum(float(((a - b) ** 2).sum()) for b, a in both)), rel=1e-12)


@given(pairs, st.floats(1e-3, 1e4))
def test_an_update_without_noise_has_at_most_the_clipping_norm(found: list[tuple[np.ndarray, np.ndarray]], most: float) -> None:
    by = gaussian.factor(norm(found), most)
    wide = [(b.astype(np.float64), a.astype(np.float64)) for b, a in found]
    clipped = [(b, gaussian.noised(b, a, by, 0.0)) for b, a in wide]
    assert norm(clipped) <= most * (1 + 1e-9) + 1e-9
    for (before, after), (_, made) in zip(wide, clipped, strict=True):
        assert made == pytest.approx(before + (after - before) * by, rel=1e-9, abs=1e-9)


@given(pairs)
def test_shape_and_type_stay(found: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for before, after in found:
        made = gaussian.noised(before, after, 0.5, 1.0)
        assert (made.shape, made.dtype) == (after.shape, after.dtype)
        assert np.isfinite(made).all()


def test_float16_does_not_overflow() -> None:
    before, after = np.zeros(400, np.float16), np.full(400, 300, np.float16)
    assert norm([(before, after)]) == 6000.0
    made = gaussian.noised(before, after, gaussian.factor(6000.0, 1.0), 0.0)
    assert np.linalg.norm(made.astype(np.float64)) == pytest.approx(1.0, rel=1e-3)
    most = np.full(3, np.finfo(np.float16).max)
    assert np.isfinite(gaussian.noised(most, most, 1.0, 1e6)).all()


def test_a_norm_whose_square_is_no_float_is_one() -> None:
    assert norm([(np.zeros(4), np.full(4, 1e200))]) == pytest.approx(2e200)
    assert norm([(np.zeros(4), np.full(4, 1e-200))]) == pytest.approx(2e-200)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_seen(bad: float) -> None:
    assert not math.isfinite(norm([(np.zeros(3), np.array([1.0, bad, 2.0]))]))
    assert not math.isfinite(norm([(np.full(1, -1.7e308), np.full(1, 1.7e308))]))


def test_an_update_of_zero_gets_noise() -> None:
    zero = np.zeros(10, np.float32)
    assert norm([(zero, zero)]) == 0.0
    assert gaussian.factor(0.0, 1.0) == 1.0
    assert np.count_nonzero(gaussian.noised(zero, zero, 1.0, 1.0)) == 10


@pytest.mark.parametrize(("seed", "deviation"), [(1, 0.01), (2, 1.0), (3, 100.0)])
def test_the_noise_has_its_standard_deviation(seed: int, deviation: float) -> None:
    count = 100_000
    before = np.full((100, count // 100), 3.0)
    found = (gaussian.noised(before, before, 1.0, deviation, seeded(seed)) - before) / deviation
    assert abs(found.mean()) < 6 / math.sqrt(count)
    assert abs(found.std() - 1) < 6 / math.sqrt(2 * count)
    below = (found[:, :, None] < np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).mean(axis=(0, 1))
    assert below == pytest.approx([0.02275, 0.158655, 0.5, 0.841345, 0.97725], abs=6 * 0.5 / math.sqrt(count))
    assert abs(float((found[:, :-1] * found[:, 1:]).mean())) < 6 / math.sqrt(count)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_any_number_of_numbers(count: int) -> None:
    assert gaussian.gaussian(count).shape == (count,)


def test_a_large_array_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = np.zeros((7, 11)), np.arange(77.0).reshape(11, 7).T  # not contiguous
    whole = gaussian.noised(before, after, 0.5, 0.0)
    monkeypatch.setattr(gaussian, "BLOCK", 10)
    assert np.array_equal(gaussian.noised(before, after, 0.5, 0.0), whole)
    assert np.array_equal(whole, after / 2)
    assert norm([(before, after)]) == pytest.approx(np.linalg.norm(after))


def test_the_same_bytes_give_the_same_noise_and_others_another() -> None:
    assert np.array_equal(gaussian.gaussian(9, seeded(1)), gaussian.gaussian(9, seeded(1)))
    assert not np.array_equal(gaussian.gaussian(9), gaussian.gaussian(9))
    extremes = gaussian.gaussian(4, lambda count: b"\x00" * count), gaussian.gaussian(4, lambda count: b"\xff" * count)
    assert all(np.isfinite(each).all() for each in extremes)
