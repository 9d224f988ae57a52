"""What secure aggregation does with updates of any form, and with sites that do not follow the protocol. Flower's own records, without
processes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from panal.pod.tools.install import install

from .conftest import flower_venv

pytestmark = [pytest.mark.flower, pytest.mark.oldest]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("maskings")
    install(folder / "tools")
    (folder / "sites").mkdir()
    env = {"PYTHONPATH": str(folder / "tools"), "PATH": os.environ["PATH"], "HOME": str(folder)}
    env |= {"PANAL_RUN_DIR": str(folder), "PANAL_TMP": str(folder)}
    command = [str(flower_venv() / "bin/python"), str(Path(__file__).with_name("maskings.py")), str(folder / "sites")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_mean_is_the_plain_one_for_arrays_of_many_forms(found: dict[str, Any]) -> None:
    """`errors` are in multiples of the stated precision and the last digit of the type."""
    case = found["many forms"]
    assert case["errors"].keys() == {"zeros", "big", "columns", "half", "scalar", "none", "was integer"}
    assert max(case["errors"].values()) <= 1.0
    assert {name: each[:2] for name, each in case["arrays"].items()} == {
        "zeros": ["float32", [3]],
        "big": ["float32", [3145733]],
        "columns": ["float64", [3, 4]],
        "half": ["float16", [2, 3, 2]],
        "scalar": ["float64", []],
        "none": ["float32", [0, 4]],
        "count": ["int64", [2]],
        "flag": ["bool", [1]],
        "was integer": ["float64", [3]],
        "averaged count": ["float64", [1]],
    }
    assert (case["arrays"]["count"][2], case["arrays"]["flag"][2], case["arrays"]["averaged count"][2]) == ([7, 8], [1], [7.25])
    assert (case["replies"], case["same"]) == (4, 1)
    weight, loss = 10 + 2500 + 1 + 99, (10 * 0.5 + 2500 * 1 + 1 * 1.5 + 99 * 2)
    assert case["metrics"] == {"metrics": {"loss": pytest.approx(loss / weight, rel=1e-9), "num-examples": weight / 4}}


def test_masked_numbers_and_nothing_else_leave_a_site(found: dict[str, Any]) -> None:
    case = found["many forms"]
    kept = {"count", "flag", "averaged count"}
    assert case["kinds"] == {name: ["int8" if name in kept else "uint64"] for name in case["arrays"]}
    assert case["left"] == ["arrays", "panal-metrics:metrics", "panal-weight:metrics"]
    assert found["leaves"] == {
        "evaluate": ["metrics"],
        "evaluate with arrays": "ReplyNotProtected",
        "query": "ReplyNotProtected",
        "train": "UpdateNotMasked",
    }


@pytest.mark.parametrize(
    "case", ["as the others", "float64", "no answer in the end", "wrong shares in the end", "numbers in the end", "a threshold of all"]
)
def test_all_four_count(found: dict[str, Any], case: str) -> None:
    assert (found[case]["replies"], found[case]["failed"], found[case]["arrays"]["w"]) == (4, {}, ["float32", [3], [2.5] * 3])


def test_one_that_lies_about_shares_does_no_harm_if_there_are_more(found: dict[str, Any]) -> None:
    case = found["wrong shares of the first site"]
    assert (case["replies"], case["arrays"]["w"][2]) == (4, [2.5] * 3)


def test_an_update_without_weight_is_in_the_sum(found: dict[str, Any]) -> None:
    assert found["weight 0"]["arrays"]["w"][2] == pytest.approx([2.0] * 3)
    assert found["weight 0"]["metrics"] == {"metrics": {"num-examples": 7.5}}


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("more arrays", "UpdateNotProtected"),
        ("another shape", "UpdateNotProtected"),
        ("integers", "UpdateNotProtected"),
        ("complex", "UpdateNotProtected"),
        ("bfloat16", "UpdateNotProtected"),
        ("another format", "UpdateNotProtected"),
        ("a record of panal", "UpdateNotProtected"),
        ("no weight", "UpdateNotProtected"),
        ("two weights", "UpdateNotProtected"),
        ("damaged", "UpdateNotMasked"),
        ("not a number", "UpdateNotFinite"),
        ("infinite", "UpdateNotFinite"),
        ("too large", "UpdateOutOfRange"),
        ("too heavy", "UpdateOutOfRange"),
        ("a list as weight", "WeightInvalid"),
        ("negative weight", "WeightInvalid"),
        ("infinite weight", "WeightInvalid"),
        # at the aggregator:
        ("another metric", "ArraysDiffer"),
        ("unmasked", "ArraysDiffer"),
        ("without the weight", "ArraysDiffer"),
        ("short keys", "ReplyInvalid"),
        ("numbers for keys", "ReplyInvalid"),
        ("texts for shares", "ReplyInvalid"),
        ("a number as commitment", "ReplyInvalid"),
        ("no keys", "ReplyInvalid"),
        ("one key for two", "ReplyInvalid"),
        ("a key of low order", "ReplyInvalid"),
        ("shares for two", "ReplyInvalid"),
        ("shares for itself", "ReplyInvalid"),
        ("no commitment", "ReplyInvalid"),
    ],
)
def test_one_that_cannot_take_part_is_left_out_alone(found: dict[str, Any], case: str, code: str) -> None:
    one = found[case]
    assert (one["replies"], one["failures"], one["failed"]) == (3, 1, {"c44": code})
    assert (one["threshold"], one["arrays"]["w"][2]) == (3, [2.0] * 3)


@pytest.mark.parametrize("case", ["garbled shares", "another commitment", "another threshold"])
def test_shares_that_do_not_fit_spoil_the_session_and_their_site_is_named(found: dict[str, Any], case: str) -> None:
    one = found[case]
    assert one["failed"] == {"c11": "NotUnmasked", "c22": "NotUnmasked", "c33": "NotUnmasked", "c44": "SharesInvalid"}
    assert (one["replies"], one["failures"], "arrays" in one) == (0, 4, False)


def test_the_session_that_follows_is_without_that_site(found: dict[str, Any]) -> None:
    one = found["garbled shares, and again"]
    assert (one["replies"], one["failures"], one["failed"], one["arrays"]["w"][2]) == (3, 1, {"c44": "SharesInvalid"}, [2.0] * 3)


@pytest.mark.parametrize(("case", "failures"), [("weights of 0", 4), ("two sites", 2)])
def test_there_may_be_no_mean(found: dict[str, Any], case: str, failures: int) -> None:
    assert (found[case]["replies"], found[case]["failures"], "arrays" in found[case]) == (0, failures, False)


def test_fewer_updates_than_the_threshold_stay_masked(found: dict[str, Any]) -> None:
    case = found["two of four stay"]
    assert case["failed"] == {"c33": "UpdateNotFinite", "c44": "UpdateNotFinite"}
    assert (case["replies"], case["threshold"], "arrays" in case) == (2, 3, False)


def test_updates_below_the_quorum_stay_masked(found: dict[str, Any]) -> None:
    case = found["below the quorum"]
    assert (case["replies"], case["failed"], "arrays" in case) == (3, {"c44": "UpdateNotFinite"}, False)
    assert case["passed"] == ["query.panal_keys", "query.panal_shares", "train"]


def test_each_step_is_taken_once_and_the_file_is_gone_in_the_end(found: dict[str, Any]) -> None:
    case = found["state"]
    assert case["steps"] == ["keys", "shares", "masked", "agreed", ""]
    assert set(case["modes"]) == {"0o600"}
    assert case["masked twice"] == [True, False]
    assert case["refused"] == dict.fromkeys(case["again"], "exception=UpdateNotMasked")
    assert case["without content"] == "exception=UpdateNotMasked"
    assert case["new keys"]
