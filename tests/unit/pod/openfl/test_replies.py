"""Which results of a task OpenFL gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from panal.pod.tools.openfl.replies import TENSORS, Rules, Tensor, names, refused, too_many

MODEL = {"w": (2, 3), "b": (3,)}
RULES = Rules(others=("site1", "site2"))


def trained(name: str = "w", numbers: Any = None, round_: int = 4) -> Tensor:
    found = np.zeros(MODEL.get(name, (1,)), np.float32) if numbers is None else np.asarray(numbers, np.float32)
    return Tensor(name, round_, False, frozenset({"trained", "compressed"}), found)


def metric(value: Any = 0.5, *tags: str) -> Tensor:
    return Tensor("loss", 4, True, frozenset({"metric", *tags}), np.asarray(value))


GOOD = [trained("w"), trained("b"), metric()]


@pytest.mark.parametrize(
    ("task", "size", "tensors", "expected"),
    [
        ("train", 10, GOOD, None),
        ("train", 0, GOOD, None),
        ("aggregated_model_validation", 10, [metric(np.nan)], None),  # a metric may be NaN
        ("count", -1, [metric()], None),
        ("train", 10, [*GOOD, trained("momentum")], None),  # of an optimizer, which the initial model lacks
        ("train", -1, GOOD, "WeightInvalid"),
        ("count", -100, [metric()], "WeightInvalid"),
        ("train", 10, [trained("w", np.full((2, 3), np.nan)), trained("b"), metric()], "NotFinite"),
        ("train", 10, [trained("w"), trained("b", np.full(3, np.inf)), metric()], "NotFinite"),
        ("train", 10, [trained("w", np.zeros((3, 2))), trained("b"), metric()], "ArraysDiffer"),
        ("train", 10, [trained("w"), metric()], "ArraysDiffer"),
        ("train", 10, [*GOOD[:2], metric([1.0, 2.0])], "ReplyInvalid"),
        ("train", 10, [*GOOD[:2], metric([1.0])], "ReplyInvalid"),  # float() of numpy 2.4 raises TypeError
        ("train", 10, [*GOOD, trained("x" * 200)], None),
        ("train", 10, [*GOOD, trained("x" * 201)], "ReplyInvalid"),
        ("train", 10, [*GOOD[:2], metric(0.5, "site2")], "ReplyInvalid"),
        ("train", 10, [trained("w", round_=3), trained("b"), metric()], "ReplyInvalid"),
        ("train", 10, [*GOOD, trained("w")], "ReplyInvalid"),
    ],
)
def test_results_that_openfl_could_not_aggregate_are_refused(task: str, size: int, tensors: list[Tensor], expected: str | None) -> None:
    verdict = refused(task, size, 4, tensors, MODEL, RULES)
    assert (str(verdict[0]) if verdict else None) == expected


def test_a_run_may_accept_other_shapes_and_numbers() -> None:
    other = [trained("w", np.full((9,), np.nan)), metric()]
    assert refused("train", 1, 4, other, MODEL, Rules(consistent=False, finite=False)) is None


def test_a_model_may_have_tensors_with_long_names() -> None:
    name = "x" * 201
    assert refused("train", 1, 4, [trained(name)], {name: (1,)}, RULES) is None


def test_a_result_may_have_several_tensors_for_each_of_the_model() -> None:
    assert not too_many(4 * len(MODEL) + TENSORS, MODEL)
    assert too_many(4 * len(MODEL) + TENSORS + 1, MODEL)


def test_results_of_two_sites_are_alike_whatever_their_numbers() -> None:
    assert names(GOOD) == names([metric(3.0), trained("b", np.ones(3)), trained("w")])
    assert names(GOOD) != names(GOOD[:2])
