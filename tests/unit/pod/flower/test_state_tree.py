from __future__ import annotations

import functools
import json
import logging
import math
import random
import re
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panal.pod.tools.flower.state_tree import Decoder, Encoder, StateError


class Strategy:
    """Each instance stands for the one that the app makes in a new process."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def moved(source: Any, target: Any, **options: Any) -> Any:
    """Restores the state of `source` in `target`, by way of JSON."""
    encoder = Encoder()
    tree = json.loads(json.dumps(encoder.encode(source, "S", **options)))
    assert encoder.problems == []
    return Decoder(encoder.arrays).restore(tree, target)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 1 << 80, 0.1, "text", b"\0bytes", 1 + 2j, [1, [2]], (1, "a", (None,)), {1, 2}, frozenset({"a"}),
        {"a": 1, (2, 3): [4]},        OrderedDict(b=1, a=2), Counter("aab"), deque([1, 2], maxlen=3), math.inf, -0.0, [],
    ],
)  # fmt: skip
def test_a_value_is_restored_with_its_type(value: Any) -> None:
    found = moved(Strategy(value=value), Strategy(value=None)).value
    assert found == value
    assert type(found) is type(value)
    assert str(found) == str(value)


def test_nan_is_restored() -> None:
    assert math.isnan(moved(Strategy(value=math.nan), Strategy()).value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3).T, np.array(3.5), np.array([], np.int8), np.array([1 + 2j]), np.array(["a"]),
        np.array([np.nan, np.inf], np.float16), np.float32(0.1), np.int64(-1), np.zeros(2, [("x", "<i4")]),
    ],
)  # fmt: skip
def test_an_array_is_restored_bit_for_bit(array: Any) -> None:
    found = moved(Strategy(value=array), Strategy()).value
    assert (type(found), found.dtype, found.shape) == (type(array), array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_where_it_was(kind: str) -> None:
    generator = np.random.Generator(getattr(np.random, kind)(5))
    generator.normal(size=7)
    other = Strategy(value=np.random.Generator(getattr(np.random, kind)(6)))
    before = other.value
    found = moved(Strategy(value=generator), other).value
    assert found is before
    assert found.normal(size=9).tolist() == generator.normal(size=9).tolist()


def test_other_generators_go_on_where_they_were() -> None:
    python, legacy = random.Random(1), np.random.RandomState(2)
    python.gauss(0, 1), legacy.normal(size=3)
    found = moved(Strategy(a=python, b=legacy), Strategy(a=random.Random(), b=np.random.RandomState(9)))
    assert [found.a.gauss(0, 1) for _ in range(3)] == [python.gauss(0, 1) for _ in range(3)]
    assert found.b.normal(size=5).tolist() == legacy.normal(size=5).tolist()


def test_nested_objects_and_mutable_values_are_changed_in_place() -> None:
    inner, history = Strategy(momentum=None), [0]
    target = Strategy(inner=inner, history=history, by_round={1: history}, gone="a setting")
    source = Strategy(inner=Strategy(momentum=np.ones(2)), history=[1, 2], by_round={}, gone="a setting")
    source.by_round[1] = source.history
    found = moved(source, target)
    assert found is target
    assert found.inner is inner
    assert found.history is history
    assert found.by_round[1] is history
    assert history == [1, 2]
    assert inner.momentum.tolist() == [1.0, 1.0]


def test_an_object_that_contains_itself_is_restored() -> None:
    source: Any = Strategy(items=[])
    source.me, source.items = source, [source, 1]
    target: Any = Strategy(items=[])
    found = moved(source, target)
    assert found.me is found
    assert found.items == [found, 1]


def counter() -> Callable[[], int]:
    calls, unset = 0, []  # type: ignore[var-annotated]

    def count() -> int:
        nonlocal calls
        calls += 1
        unset.append(calls)
        return calls

    return count


def test_the_variables_of_a_function_are_restored() -> None:
    source, target = counter(), counter()
    source(), source()
    found = moved(source, target, lenient=True)
    assert found is target
    assert found() == 3
    method = Strategy(function=Strategy(x=1).__init__, partial=functools.partial(counter(), 3))
    assert (
        vars(moved(method, Strategy(function=Strategy(x=2).__init__, partial=functools.partial(counter(), 3)))).keys()
        == vars(method).keys()
    )


def test_code_and_constants_stay_as_the_app_made_them() -> None:
    values = {"log": logging.getLogger("a"), "path": Path("/x"), "regex": re.compile("a"), "type": int, "dtype": np.dtype("f4"), "sum": sum}
    target = Strategy(**values)
    assert vars(moved(Strategy(**values), target)) == values


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (threading.Lock(), "lock"), (iter([1]), "list_iterator"), (np.array([object()]), "ndarray"), (ValueError("x"), "ValueError"),
        (memoryview(b""), "memoryview"), (type("Own", (dict,), {})(), "Own"), (defaultdict.__new__(type("D", (defaultdict,), {})), "D"),
    ],
)  # fmt: skip
def test_what_cannot_be_restored_is_named(value: Any, kind: str) -> None:
    encoder = Encoder()
    encoder.encode(Strategy(deep=[{"a": value}]), "S")
    assert encoder.problems == [f"S.deep[0]['a'] ({kind})"]
    lenient = Encoder()
    lenient.encode(lambda: value, "f", lenient=True)
    assert not [p for p in lenient.problems if kind in ("lock", "list_iterator", "memoryview")]


def test_code_that_the_app_did_not_make_before_the_first_round_is_named() -> None:
    strategy = Strategy(rule=len, items={})
    first = Encoder()
    first.encode(strategy, "S")
    assert first.problems == []
    same = Encoder(first.fixed)
    same.encode(strategy, "S")
    assert same.problems == []
    strategy.rule = sum
    strategy.items["late"] = logging.getLogger("late")
    later = Encoder(first.fixed)
    later.encode(strategy, "S")
    assert later.problems == ["S.rule (builtin_function_or_method)", "S.items['late'] (Logger)"]


def test_a_state_of_another_class_is_refused() -> None:
    class Other:
        pass

    encoder = Encoder()
    tree = encoder.encode(Strategy(inner=Strategy(x=1)), "S")
    with pytest.raises(StateError, match="Strategy, where the app has made a"):
        Decoder(encoder.arrays).restore(tree, Strategy(inner=Other()))


def test_a_state_without_bound_is_named() -> None:
    deep: list[Any] = []
    for _ in range(60):
        deep = [deep]
    encoder = Encoder()
    encoder.encode(Strategy(deep=deep), "S")
    assert encoder.problems
