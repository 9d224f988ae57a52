"""The aggregation methods against numpy's own functions, and what a few arbitrary updates can do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from panal.pod.tools.flower.methods import Method, combined, fewest, selected, squared_distances

Rows = np.ndarray[Any, Any]
TYPES = [np.float16, np.float32, np.float64]
ROBUST = [Method.MEDIAN, Method.TRIMMED_MEAN, Method.KRUM, Method.MULTI_KRUM]


def rows(updates: st.SearchStrategy[int], most: float = math.inf) -> Any:
    def of(kind: Any, count: int, numbers: int) -> Any:
        bits = np.dtype(kind).itemsize * 8
        limit = min(most, float(np.finfo(kind).max))
        limit = float(kind(limit))
        return arrays(kind, (count, numbers), elements=st.floats(-limit, limit, width=bits, allow_nan=False))  # type: ignore[arg-type]

    return st.tuples(st.sampled_from(TYPES), updates, st.integers(1, 4)).flatmap(lambda each: of(*each))


def result(method: Method, byzantine: int, found: Rows) -> Rows:
    """As `Robust.combine` does it for one array."""
    kept = selected(method, byzantine, squared_distances(found)) if method in (Method.KRUM, Method.MULTI_KRUM) else range(len(found))
    return np.asarray(combined(method, byzantine, found[list(kept)]))


@given(rows(st.integers(1, 9)))
def test_the_median_is_numpys(found: Rows) -> None:
    expected = np.median(0.5 * found.astype(np.float64), axis=0)  # half of it, so that numpy's sum of two does not overflow
    assert np.array_equal(combined(Method.MEDIAN, 0, found), (2 * expected).astype(found.dtype))


@given(rows(st.integers(1, 9), most=1e30), st.integers(0, 4))
def test_the_trimmed_mean_is_that_of_the_numbers_in_the_middle(found: Rows, byzantine: int) -> None:
    if len(found) < fewest(Method.TRIMMED_MEAN, byzantine):
        return
    kept = np.sort(found.astype(np.float64), axis=0)[byzantine : len(found) - byzantine]
    wanted = kept.mean(axis=0)
    got = combined(Method.TRIMMED_MEAN, byzantine, found)
    close = np.finfo(found.dtype).eps * np.abs(kept).max(axis=0) + float(np.finfo(found.dtype).smallest_subnormal)
    assert (np.abs(got.astype(np.float64) - wanted) <= close).all()
    assert got.dtype == found.dtype


@given(rows(st.integers(1, 9), most=1e30))
def test_the_mean_counts_each_update_once(found: Rows) -> None:
    assert np.allclose(combined(Method.MEAN, 0, found), found.astype(np.float64).mean(axis=0), rtol=1e-3, atol=1e-3 * np.abs(found).max())


@given(arrays(st.sampled_from([np.int64, np.uint8, np.int32, np.bool_]), st.tuples(st.integers(1, 9), st.integers(1, 3))))
def test_integers_take_the_lower_median_by_every_method(found: Rows) -> None:
    expected = np.sort(found, axis=0)[(len(found) - 1) // 2]
    for method in Method:
        got = combined(method, 1, found)
        assert np.array_equal(got, expected)
        assert got.dtype == found.dtype


def cohort(method: Method) -> st.SearchStrategy[tuple[int, int]]:
    """Byzantine clients, and updates from the fewest on."""
    return st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda each: (each[0], fewest(method, each[0]) + each[1]))


@pytest.mark.parametrize("method", [Method.MEDIAN, Method.TRIMMED_MEAN])
@given(st.data())
def test_arbitrary_updates_do_not_move_a_number_out_of_the_honest_range(method: Method, data: st.DataObject) -> None:
    byzantine, count = data.draw(cohort(method))
    found = data.draw(rows(st.just(count)))
    honest, got = found[byzantine:], result(method, byzantine, found)  # the first ones are anything
    assert (honest.min(axis=0) <= got).all()
    assert (got <= honest.max(axis=0)).all()


@pytest.mark.parametrize("method", [Method.KRUM, Method.MULTI_KRUM])
@given(st.data())
def test_krum_selects_nothing_farther_from_an_honest_update_than_these_are_apart(method: Method, data: st.DataObject) -> None:
    """The score of an arbitrary update that is selected is not above that of an honest one, whose neighbors can all be honest."""
    byzantine, count = data.draw(cohort(method))
    found = data.draw(rows(st.just(count), most=1e15))
    poison = data.draw(st.sampled_from([1.0, 1e3, float(np.finfo(found.dtype).max)]))
    found[:byzantine] = (found[:byzantine] != 0) * found.dtype.type(poison)
    distances = squared_distances(found)
    honest = range(byzantine, count)
    apart = max(distances[one, other] for one in honest for other in honest)
    near = count - byzantine - 2
    for index in selected(method, byzantine, distances):
        assert min(distances[index, other] for other in honest if other != index) <= near * apart * (1 + 1e-9)


@pytest.mark.parametrize("method", ROBUST)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [1.0, 1e4, math.inf])
def test_one_poisoned_update_among_the_fewest(method: Method, dtype: Any, size: float) -> None:
    """Honest updates are within 0.1; the poisoned one has any size up to the type's largest number."""
    rng = np.random.default_rng(7)
    found = (1 + 0.1 * rng.random((fewest(method, 1), 1000))).astype(dtype)
    found[1] = -min(size, float(np.finfo(dtype).max))
    honest = np.delete(found, 1, axis=0)
    got = result(method, 1, found)
    assert np.isfinite(got).all()
    assert (honest.min(axis=0) <= got).all()
    assert (got <= honest.max(axis=0)).all()


def test_the_mean_in_float16_does_not_overflow() -> None:
    found = np.full((9, 3), 60_000, np.float16)
    assert combined(Method.MEAN, 0, found).tolist() == [60_000] * 3
    assert squared_distances(np.array([[0.0], [60_000]], np.float16))[0, 1] == 3.6e9


@pytest.mark.parametrize("method", [Method.MEAN, *ROBUST])
@given(st.integers(0, 2**32), st.permutations(range(7)))
def test_the_order_of_updates_does_not_matter(method: Method, seed: int, order: list[int]) -> None:
    found = np.random.default_rng(seed).standard_normal((7, 5))
    assert np.allclose(result(method, 2, found), result(method, 2, found[order]), rtol=1e-12, atol=1e-12)


def test_the_fewest_updates() -> None:
    assert [fewest(method, 2) for method in (Method.APP, Method.MEAN, *ROBUST)] == [1, 1, 5, 5, 7, 7]
