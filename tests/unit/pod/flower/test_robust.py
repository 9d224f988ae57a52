"""Methods of aggregation in place of a strategy's mean, with records and strategies like Flower's; tests/flower has the real ones."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from panal.pod.tools.files import RunError, read_records
from panal.pod.tools.flower import blocks, robust
from panal.pod.tools.flower.aggregation import strategy_rules
from panal.pod.tools.flower.journal import Journal
from panal.pod.tools.flower.judge import Description, Judge, Rules
from panal.pod.tools.flower.methods import Method
from panal.pod.tools.flower.replies import Clusters, Phase
from panal.pod.tools.flower.robust import Robust, TooFewError
from panal.pod.tools.flower.spool import Spool
from panal.pod.tools.flower.update_norm import too_large
from panal.pod.tools.flower.watch import Watch

NDArray = np.ndarray[Any, Any]


@dataclass
class Array:
    dtype: str
    shape: tuple[int, ...]
    data: Any
    stype: str = "numpy.ndarray"

    @classmethod
    def from_numpy_ndarray(cls, value: NDArray, keep: Callable[[bytes], Any] = bytes) -> Array:
        file = io.BytesIO()
        np.save(file, value, allow_pickle=False)
        return cls(str(value.dtype), value.shape, keep(file.getvalue()))

    def numpy(self) -> NDArray:
        file = io.BytesIO(self.data if isinstance(self.data, bytes) else self.data.read())
        return np.asarray(np.load(file, allow_pickle=False))


class Record(dict[str, Any]):
    """Like Flower's ArrayRecord."""


class Content(dict[str, Any]):
    """Like Flower's RecordDict."""

    def __init__(self, of: Mapping[str, Any]) -> None:
        super().__init__(of)

    @property
    def array_records(self) -> dict[str, Record]:
        return {name: each for name, each in self.items() if isinstance(each, Record)}


@dataclass
class Reply:
    content: Content
    node: int = 0
    metadata: Any = field(default_factory=lambda: SimpleNamespace(src_node_id=None))

    def has_content(self) -> bool:
        return True


def content(keep: Callable[[bytes], Any] = bytes, **arrays: NDArray) -> Content:
    record = Record({name: Array.from_numpy_ndarray(value, keep) for name, value in arrays.items()})
    return Content({"arrays": record, "metrics": {"loss": 1.0}})


def combine(method: Method, byzantine: int, contents: list[Content]) -> dict[str, NDArray]:
    records, _ = Robust(method, byzantine).combine(contents)
    assert list(records) == ["arrays"]
    return {name: array.numpy() for name, array in records["arrays"].items()}


def updates(keep: Callable[[bytes], Any] = bytes) -> list[Content]:
    """Five honest updates, the third of them poisoned and with a counter of its own."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(5):
        wide, narrow = rng.random((40, 5000), np.float32), rng.random(()).astype(np.float16)
        if number == 2:
            wide[:], narrow = 3e38, np.float16(-60_000)
        found.append(
            content(
                keep, wide=np.asfortranarray(wide) if number == 1 else wide, narrow=narrow, seen=np.int64([10, 11, 999, 12, 13][number])
            )
        )
    return found


@pytest.mark.parametrize("keep", [bytes, Spool().add], ids=["memory", "files"])
@pytest.mark.parametrize("block", [1 << 30, 4096], ids=["whole", "blocks"])
def test_arrays_in_files_and_in_blocks_are_combined_alike(keep: Any, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    found = updates(keep)
    got = combine(Method.MEDIAN, 2, found)
    expected = np.median([each["arrays"]["wide"].numpy() for each in found], axis=0)
    assert np.array_equal(got["wide"], expected)
    assert (got["wide"].dtype, got["narrow"].dtype, got["narrow"].shape) == (np.float32, np.float16, ())
    assert (got["seen"], got["seen"].dtype) == (12, np.int64)


def test_krum_selects_by_floats_alone_and_counts_by_all() -> None:
    found = updates()
    records, kept = Robust(Method.KRUM, 1).combine(found)
    (index,) = kept
    assert index != 2
    assert np.array_equal(records["arrays"]["wide"].numpy(), found[index]["arrays"]["wide"].numpy())
    assert records["arrays"]["seen"].numpy() == 12
    for each in found:  # a counter that differs much says nothing about the distance
        each["arrays"]["seen"] = Array.from_numpy_ndarray(np.int64(-(2**60) if each is found[index] else 0))
    assert Robust(Method.KRUM, 1).combine(found)[1] == [index]


def test_multi_krum_averages_what_is_near() -> None:
    found = [content(w=np.array([number], np.float64)) for number in (0, 1, 2, 3, 1000)]
    assert Robust(Method.MULTI_KRUM, 1).combine(found)[1] == [1, 2]
    assert combine(Method.MULTI_KRUM, 1, found)["w"] == [1.5]


@pytest.mark.parametrize(("method", "needed"), [(Method.MEDIAN, 5), (Method.TRIMMED_MEAN, 5), (Method.KRUM, 7), (Method.MULTI_KRUM, 7)])
def test_too_few_updates_are_not_combined(method: Method, needed: int) -> None:
    found = [content(w=np.ones(1)) for _ in range(needed)]
    assert combine(method, 2, found)["w"] == [1]
    with pytest.raises(TooFewError, match=f"{method} with 2 Byzantine clients needs {needed} updates, and there are {needed - 1}"):
        combine(method, 2, found[1:])


def test_a_strategy_gets_the_result_in_all_replies_and_the_metrics_of_each() -> None:
    replies = [Reply(content(w=np.array([float(number)]))) for number in (0, 2, 1000)]
    for number, reply in enumerate(replies):
        reply.content["metrics"] = {"loss": number}
    seen: list[Reply] = []
    aggregate = Robust(Method.MEDIAN, 1).in_place_of_the_mean("train", lambda given: seen.extend(given), Clusters(), Phase())
    aggregate(replies)
    assert [each.content["arrays"]["w"].numpy().tolist() for each in seen] == [[2.0]] * 3
    assert [each.content["metrics"]["loss"] for each in seen] == [0, 1, 2]
    assert replies[2].content["arrays"]["w"].numpy() == [1000]  # a second try begins with what the sites sent


def test_other_phases_and_the_app_s_own_method_are_left_alone() -> None:
    aggregate: Any = len
    assert Robust(Method.MEDIAN, 1).in_place_of_the_mean("evaluate", aggregate, Clusters(), Phase()) is aggregate
    assert Robust().in_place_of_the_mean("train", aggregate, Clusters(), Phase()) is aggregate


def test_the_mean_of_equal_arrays_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(aggregate_arrayrecords=lambda records, key: "averaged")
    monkeypatch.setitem(robust.sys.modules, robust.MEAN[0], module)  # type: ignore[arg-type]
    equal, other = Record({"w": 1}), Record({"w": 1})
    with robust.exact_mean():
        found = module.aggregate_arrayrecords([Content({"a": equal}), Content({"a": equal})], "n")
        assert (found, type(found), found is equal) == (equal, Record, False)
        assert module.aggregate_arrayrecords([Content({"a": equal}), Content({"a": other})], "n") == "averaged"
    assert module.aggregate_arrayrecords([], "n") == "averaged"


def strategy(base: str, **of: Any) -> Any:
    """An app's own strategy that derives from one of Flower's."""
    flowers = type(base, (), {"__module__": f"flwr.serverapp.strategy.{base.lower()}"})
    found = type("Mine", (flowers,), {"__module__": "app.mine"})()
    vars(found).update(of)
    return found


W = {"w": Array.from_numpy_ndarray(np.ones(3, np.float32))}


@pytest.mark.parametrize(
    ("name", "of", "arrays", "own_start", "why"),
    [
        ("FedAvg", {}, W, False, ""),
        ("FedAdam", {}, W | {"seen": Array.from_numpy_ndarray(np.int64(3))}, False, ""),
        ("FedAvg", {}, {}, False, ""),
        ("FedAvg", {}, W, True, "Mine has a start of its own"),
        ("FedXgbBagging", {}, W, False, "Mine does not average updates"),
        ("FedMedian", {}, W, False, "Mine does not average updates"),
        ("QFedAvg", {}, W, False, "Mine does not average updates"),
        ("Strategy", {}, W, False, "Mine does not average updates"),
        ("FedAvg", {"strategy": object()}, W, False, "Mine changes what another strategy aggregates"),
        ("FedAvg", {}, {"0": Array.from_numpy_ndarray(np.zeros(9, np.uint8))}, False, "the array 0 holds bytes, such as trees"),
        ("FedAvg", {}, {"w": Array.from_numpy_ndarray(np.zeros(1, np.complex64))}, False, "the array w is complex64"),
        ("FedAvg", {}, {"seen": Array.from_numpy_ndarray(np.int64(3))}, False, "there are no floating-point arrays"),
        ("FedAvg", {}, {"w": Array("bfloat16", (2,), b"")}, False, "the array w is bfloat16"),
        ("FedAvg", {}, {"w": Array("float32", (2,), b"", "torch")}, False, "the array w is float32"),
    ],
)
def test_what_no_method_can_aggregate_is_refused(
    name: str, of: Any, arrays: Any, own_start: bool, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    Robust().require(Journal(), strategy("Strategy"), {}, own_start=True)  # the app's own method may be anything
    required = Robust(Method.KRUM, 1)
    if not why:
        required.require(Journal(), strategy(name, **of), arrays, own_start=own_start)
        return
    with pytest.raises(RunError) as error:
        required.require(Journal(), strategy(name, **of), arrays, own_start=own_start)
    assert error.value.reason == "AggregationNotPossible"
    assert error.value.message.startswith(f"spec.server.aggregation.method: Krum is not possible: {why}")
    assert [record.content()["reason"] for record in read_records()] == ["AggregationNotPossible"]


def test_an_app_with_its_own_main_loop_is_refused_at_its_first_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    grid = SimpleNamespace(push_messages=lambda _messages: [], pull_messages=None, get_node_ids=None)
    message = SimpleNamespace(metadata=SimpleNamespace(message_type="train", group_id="", dst_node_id=1))
    monkeypatch.setenv("PANAL_LARGEST_UPDATE_NORM", "3")
    with pytest.raises(
        RunError, match=re.escape("spec.server.replies.largestUpdateNorm is not possible: the app takes its replies with pull_messages")
    ):
        Watch(grid, SimpleNamespace()).push_messages([message])
    monkeypatch.setenv("PANAL_AGGREGATION", "Median")
    with pytest.raises(
        RunError, match=re.escape("spec.server.aggregation.method: Median is not possible: the app does not train with Strategy.start")
    ):
        Watch(grid, SimpleNamespace()).push_messages([message])


def test_the_method_of_the_run_is_read_or_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Robust.of_the_run().wanted
    monkeypatch.setenv("PANAL_AGGREGATION", "TrimmedMean")
    monkeypatch.setenv("PANAL_BYZANTINE_CLIENTS", "2")
    assert Robust.of_the_run() == Robust(Method.TRIMMED_MEAN, 2)
    monkeypatch.setenv("PANAL_AGGREGATION", "Bulyan")
    with pytest.raises(ValueError, match="Bulyan"):
        Robust.of_the_run()


# What the judge lets through.

GOOD = Description({("arrays", "w"): "float32 (3,)"}, {("m", "loss"): "a number"}, {})
WIDE = Description({("arrays", "w"): "float32 (3, 3)"}, GOOD.metrics, {})
NAN = Description(GOOD.arrays, GOOD.metrics, {}, infinite="arrays/w")


@pytest.mark.parametrize(
    ("replies", "refused"),
    [
        ((GOOD, GOOD, GOOD), {}),
        ((GOOD, GOOD, WIDE), {"2": "ArraysDiffer"}),
        ((WIDE, WIDE, GOOD), {"2": "ArraysDiffer"}),  # whatever was sent
        ((GOOD, WIDE), {"0": "ArraysDiffer", "1": "ArraysDiffer"}),
        ((GOOD, NAN, NAN), {"1": "NotFinite", "2": "NotFinite"}),
        ((NAN, NAN), {"0": "NotFinite", "1": "NotFinite"}),
        ((), {}),
    ],
)
def test_only_the_same_finite_arrays_are_combined(replies: tuple[Description, ...], refused: dict[str, str]) -> None:
    got = {str(index): each for index, each in enumerate(replies)}
    for strict in (True, False):
        judge = Judge(Rules(alike=True, strict=strict))
        assert {key: code for key, (code, _) in judge.refused("train", dict.fromkeys(got, GOOD), got).items()} == refused


class Averaging:
    def aggregate_train(self) -> None: ...

    def aggregate_evaluate(self) -> None: ...


def test_a_method_asks_for_examined_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_REPLY_SHAPES", "Any")
    monkeypatch.setenv("PANAL_REPLY_NUMBERS", "Any")
    rules = strategy_rules(Averaging(), alike=True)
    assert (rules.consistent, rules.finite, rules.alike) == (True, True, True)
    rules = strategy_rules(Averaging())
    assert (rules.consistent, rules.finite, rules.alike) == (False, False, False)


# The norm of an update.

SENT = content(w=np.zeros((2, 3), np.float32), half=np.zeros(2, np.float16), seen=np.int64(5))


def changed(**arrays: NDArray) -> Content:
    return content(**{"w": np.zeros((2, 3), np.float32), "half": np.zeros(2, np.float16), "seen": np.int64(5)} | arrays)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (changed(), None),
        (changed(seen=np.int64(1_000_000)), None),  # a counter is no part of it
        (changed(half=np.array([3, 4], np.float16)), None),
        (changed(w=np.asfortranarray(np.full((2, 3), 2, np.float32))), None),
        (changed(half=np.array([3, 4.01], np.float16)), "the norm of its update is 5.009, more than 5"),
        (changed(half=np.array([60_000, 0], np.float16)), "the norm of its update is 6e+04, more than 5"),
        (changed(w=np.full((2, 3), 3e38, np.float32)), "the norm of its update is 7.348e+38, more than 5"),
        (changed(w=np.full((2, 3), 1e308)), "the norm of its update is inf, more than 5"),
        (changed(w=np.full((2, 3), np.nan)), "the norm of its update is nan, more than 5"),
        (changed(w=np.zeros((3, 2), np.float32)), "the norm of its update is unknown, because arrays/w has another shape"),
        (changed(w=np.zeros((2, 3), np.complex64)), "the norm of its update is unknown, because arrays/w is complex64"),
        (changed(more=np.zeros(2)), "the norm of its update is unknown, because its arrays are not those that were sent"),
    ],
)
def test_the_norm_of_an_update(got: Content, expected: str | None) -> None:
    for block in (1 << 25, 32):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "BLOCK", block)
            found = too_large(SENT, got, 5)
            assert (found and found[1]) == (expected and f"{expected} (spec.server.replies.largestUpdateNorm)")
            assert (found and str(found[0])) == (expected and ("ArraysDiffer" if "unknown" in expected else "UpdateTooLarge"))


def test_a_model_without_floating_point_arrays_has_no_norm() -> None:
    trees = content(**{"0": np.zeros(9, np.uint8)})
    found = too_large(trees, trees, 5)
    assert found is not None
    assert "it has no floating-point arrays" in found[1]
