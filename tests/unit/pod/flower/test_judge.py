"""Which replies reach the strategy, as tables, with arrays of numpy and records like Flower's."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from panal.pod.tools.flower.judge import Description, Judge, Rules, describe

W = ("arrays", "w")
SENT = Description({W: "float32 (3,)"}, {}, {})
GOOD = Description({W: "float32 (3,)"}, {("m", "loss"): "a number"}, {})
WIDE = Description({W: "float32 (3, 3)"}, GOOD.metrics, {})
OTHER_KEY = Description(GOOD.arrays, {("m", "Loss"): "a number"}, {})
BROKEN = Description(GOOD.arrays, GOOD.metrics, {}, trouble=("ReplyInvalid", "it is not"))
NAN = Description(GOOD.arrays, GOOD.metrics, {}, infinite="arrays/w")


def judged(*replies: Description, kind: str = "train", judge: Judge | None = None, sent: Description = SENT) -> dict[str, str]:
    got = {str(index): each for index, each in enumerate(replies)}
    found = (judge or Judge(Rules())).refused(kind, dict.fromkeys(got, sent), got)
    return {key: reason for key, (reason, _text) in found.items()}


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ((GOOD, GOOD), {}),
        ((GOOD, GOOD, WIDE), {"2": "ArraysDiffer"}),
        ((GOOD, WIDE), {"1": "ArraysDiffer"}),  # half of the replies match what was sent
        ((GOOD, OTHER_KEY, GOOD), {"1": "MetricsDiffer"}),
        ((GOOD, OTHER_KEY), {}),  # no majority
        ((WIDE, WIDE, GOOD), {}),  # the app's replies differ from what it sends
        ((BROKEN,), {"0": "ReplyInvalid"}),
        ((GOOD, GOOD, BROKEN), {"2": "ReplyInvalid"}),
        ((GOOD, GOOD, NAN), {"2": "NotFinite"}),
        ((GOOD, NAN), {"1": "NotFinite"}),
        ((NAN, NAN, GOOD), {}),  # the app diverges
        ((NAN,), {}),
        ((), {}),
    ],
)
def test_replies_of_flowers_own_strategies(replies: tuple[Description, ...], expected: dict[str, str]) -> None:
    assert judged(*replies) == expected


def test_an_earlier_round_decides_without_a_majority() -> None:
    judge = Judge(Rules())
    judge.accept("train", [GOOD])
    assert judged(GOOD, OTHER_KEY, judge=judge) == {"1": "MetricsDiffer"}
    assert judged(GOOD, OTHER_KEY, judge=judge, kind="evaluate") == {}
    assert judged(OTHER_KEY, OTHER_KEY, judge=judge) == {}  # all have changed


def test_an_apps_own_strategy_gets_different_replies_first() -> None:
    judge = Judge(Rules(strict=False))
    assert judged(GOOD, GOOD, OTHER_KEY, judge=judge) == {}
    odd = judge.outliers("train", {"0": GOOD, "1": GOOD, "2": OTHER_KEY})
    assert odd == {"2": ("MetricsDiffer", "m/loss is missing; m/Loss is unknown")}


def test_other_values_count_only_for_an_apps_own_strategies() -> None:
    with_config = Description(GOOD.arrays, GOOD.metrics, {("c", "x"): ""})
    assert judged(GOOD, GOOD, with_config) == {}
    assert Judge(Rules(strict=False)).outliers("train", {"0": GOOD, "1": GOOD, "2": with_config})["2"][0] == "ValuesDiffer"


def test_an_app_can_accept_all_replies() -> None:
    judge = Judge(Rules(consistent=False))
    assert judged(GOOD, GOOD, WIDE, OTHER_KEY, judge=judge) == {}
    assert judged(BROKEN, judge=judge) == {"0": "ReplyInvalid"}


def test_many_differences_are_summarized() -> None:
    many = Description({("arrays", str(n)): "float32 (1,)" for n in range(1000)}, GOOD.metrics, {})
    ((_reason, text),) = Judge(Rules()).refused("train", {"0": SENT, "1": SENT}, {"0": GOOD, "1": many}).values()
    assert text.endswith("; and 998 more")
    assert len(text) < 300


# Of arrays and numbers.


@dataclass
class Array:
    dtype: str
    shape: tuple[int, ...]
    data: bytes
    stype: str = "numpy.ndarray"

    @classmethod
    def of(cls, value: np.ndarray[Any, Any], **said: Any) -> Array:
        file = io.BytesIO()
        np.save(file, value, allow_pickle=said.pop("pickled", False))
        return cls(**{"dtype": str(value.dtype), "shape": value.shape, "data": file.getvalue(), **said})


@dataclass
class Content:
    array_records: dict[str, dict[str, Array]] = field(default_factory=dict)
    metric_records: dict[str, dict[str, Any]] = field(default_factory=dict)
    config_records: dict[str, dict[str, Any]] = field(default_factory=dict)


THREE = np.arange(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (Array.of(THREE), None),
        (Array.of(np.array(7)), None),
        (Array.of(np.zeros((0, 4))), None),
        (Array.of(np.asfortranarray(np.ones((2, 3)))), None),
        (Array.of(np.array([1, 2], dtype=">i4")), None),
        (Array.of(np.zeros(2, dtype="V2"), dtype="bfloat16"), None),  # a type that numpy lacks
        (Array.of(THREE, shape=(1, 3)), "ReplyInvalid"),
        (Array.of(THREE, dtype="float64"), "ReplyInvalid"),
        (Array.of(THREE, data=b"no numpy"), "ReplyInvalid"),
        (Array.of(THREE, data=b""), "ReplyInvalid"),
        (Array.of(THREE, data=Array.of(THREE).data[:-1]), "ReplyInvalid"),
        (Array.of(THREE, data=Array.of(THREE).data + b"more"), "ReplyInvalid"),
        (Array.of(THREE, data=Array.of(THREE).data.replace(b"(3,)", b"(9999999999,)")), "ReplyInvalid"),
        (Array.of(np.array([{}]), pickled=True), "ReplyInvalid"),
        (Array.of(THREE, data=Array.of(THREE).data.replace(b"NUMPY\x01\x00", b"NUMPY\x01\x01")), "ReplyInvalid"),
        (Array.of(THREE, data=Array.of(THREE).data.replace(b"NUMPY\x01\x00", b"NUMPY\x04\x00")), "ReplyInvalid"),
        (Array.of(THREE, data=b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4', "), "ReplyInvalid"),  # whatever numpy raises
        (Array.of(THREE, data=Array.of(THREE).data.replace(b"'<f4'", b"()   ")), "ReplyInvalid"),
        (Array.of(THREE, shape=(-3, -1), data=Array.of(THREE).data.replace(b"(3,), }  ", b"(-3,-1), }")), "ReplyInvalid"),
        (Array.of(THREE, dtype="i4,,i4"), "ReplyInvalid"),
        (Array.of(THREE, dtype="(2,-1)f4"), "ReplyInvalid"),
        (Array.of(THREE, dtype="\udc00"), "ReplyInvalid"),
        (Array.of(np.array([1, np.nan])), "NotFinite"),
        (Array.of(np.array([1, -np.inf], dtype=np.float16)), "NotFinite"),
        (Array.of(np.array([complex(0, np.inf)])), "NotFinite"),
        (Array.of(np.concatenate([np.zeros(1 << 21), [np.nan]])), "NotFinite"),
    ],
)
def test_the_data_of_an_array_must_match_its_header(array: Array, expected: str | None) -> None:
    content = Content({"arrays": {"w": array}})
    found = describe(content, Rules())
    assert (found.trouble[0] if found.trouble else None) == (expected if expected == "ReplyInvalid" else None)
    assert found.infinite == ("arrays/w" if expected == "NotFinite" else "")
    assert describe(content, Rules(finite=False)).infinite == ""


def test_flowers_strategies_read_only_arrays_of_numpy() -> None:
    content = Content({"arrays": {"w": Array.of(THREE, stype="torch")}})
    assert (describe(content, Rules()).trouble or ("",))[0] == "ReplyInvalid"
    assert describe(content, Rules(strict=False)).trouble is None
    assert describe(content).arrays == {W: "float32 (3,) as torch"}  # so it differs from what was sent


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"loss": 1.5, "n": 10}, None),
        ({"loss": [1.0, 2.0], "n": 0}, None),
        ({"loss": float("nan"), "n": 10}, None),  # such as the AUC of a site with one class
        ({"loss": [1.0, float("inf")], "n": 10}, None),
        ({"n": -1}, "WeightInvalid"),
        ({"n": float("nan")}, "WeightInvalid"),
        ({"n": float("inf")}, "WeightInvalid"),
        ({"n": [1]}, "WeightInvalid"),
        ({"n": [1, 2]}, "WeightInvalid"),
        ({"n": 2**60}, "WeightInvalid"),
    ],
)
def test_numbers_and_weights(metrics: dict[str, Any], reason: str | None) -> None:
    described = describe(Content(metric_records={"m": metrics}), Rules(weighted_by="n"))
    assert (described.trouble[0] if described.trouble else None) == reason


def test_a_record_is_described() -> None:
    trees = Array.of(np.zeros(100, np.uint8))
    content = Content({"arrays": {"w": Array.of(THREE), "t": trees}, "none": {}}, {"m": {"loss": 1, "per": [1, 2]}}, {"c": {"x": b""}})
    assert describe(content) == Description(
        {("arrays", "w"): "float32 (3,)", ("arrays", "t"): "uint8 (any)"},
        {("m", "loss"): "a number", ("m", "per"): "a list of 2", ("none", ""): ""},
        {("c", "x"): ""},
    )
