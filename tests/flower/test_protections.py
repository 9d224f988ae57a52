"""What of a reply leaves a site, for replies of any form. Flower's own records, without processes."""

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
    folder = tmp_path_factory.mktemp("protections")
    install(folder / "tools")
    env = {"PYTHONPATH": str(folder / "tools"), "PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [str(flower_venv() / "bin/python"), str(Path(__file__).with_name("protections.py")), str(folder / "site")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def array(found: dict[str, Any], case: str, name: str = "w") -> tuple[str, list[int], list[float]]:
    one = found[case]["arrays"][name]
    return one["dtype"], one["shape"], one["numbers"]


def test_bfloat16_is_clipped_and_stays_bfloat16(found: dict[str, Any]) -> None:
    assert array(found, "bfloat16") == ("bfloat16", [3], [2.5, 4.0, pytest.approx(0.0, abs=1e-4)])
    dtype, _, numbers = array(found, "large bfloat16")
    assert dtype == "bfloat16"
    assert abs(numbers[0]) < 3.4e38


def test_integers_are_as_they_were_sent(found: dict[str, Any]) -> None:
    assert array(found, "averaged counter", "n") == ("float64", [], [7.25])
    assert array(found, "averaged counter")[2] == pytest.approx([1.0] * 3, abs=1e-3)
    assert array(found, "flags", "on") == ("bool", [1], [1.0])


def test_the_type_is_that_of_the_reply(found: dict[str, Any]) -> None:
    assert array(found, "another float")[0] == "float64"
    assert found["fewer arrays"]["arrays"].keys() == {"v"}


def test_an_update_of_zero_gets_noise(found: dict[str, Any]) -> None:
    assert all(array(found, "zero")[2])


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("integers alone", "UpdateNotProtected"),
        ("trees", "UpdateNotProtected"),
        ("complex", "UpdateNotProtected"),
        ("floats for text", "UpdateNotProtected"),
        ("another stype", "UpdateNotProtected"),
        ("damaged", "UpdateNotProtected"),
        ("no arrays", "UpdateNotProtected"),
        ("the older interface", "UpdateNotProtected"),
        ("another record", "UpdateNotProtected"),
        ("evaluation with arrays", "ReplyNotProtected"),
        ("query", "ReplyNotProtected"),
    ],
)
def test_what_cannot_be_protected_is_withheld(found: dict[str, Any], case: str, code: str) -> None:
    assert found[case]["withheld"] == code, found[case]


def test_of_metrics_the_weight_leaves_alone(found: dict[str, Any]) -> None:
    assert found["weight"]["metrics"] == {"metrics": {"num-examples": 3}}
    assert found["old weight"]["metrics"] == {"metrics": {"num_examples": 4}}
    assert found["a list as the weight"]["metrics"] == {"metrics": {}}
    assert found["evaluation"] == {"arrays": {}, "metrics": {"metrics": {"num-examples": 3}}, "configs": []}
    assert array(found, "a kind of its own")[2] == pytest.approx([3**-0.5] * 3, abs=1e-4)


@pytest.mark.parametrize(
    ("setting", "metrics"),
    [("Weight", {"num-examples": 3}), ("None", {"num-examples": 1}), ("All", {"num-examples": 3, "auc": 0.5})],
)
def test_the_run_says_which_metrics_leave(found: dict[str, Any], setting: str, metrics: dict[str, float]) -> None:
    assert found[f"metrics: {setting}"] == {"metrics": metrics, "configs": []}
