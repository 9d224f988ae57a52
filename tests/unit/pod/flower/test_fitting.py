"""Whether a model fits the memory limit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.files import RunError
from panal.pod.tools.flower.fitting import aggregation_bytes, limit_and_use, require_memory
from panal.pod.tools.flower.journal import Journal

KIB = 1024


def array(dtype: str, *shape: int, data: bytes = b"") -> Any:
    return SimpleNamespace(dtype=dtype, shape=shape, data=data)


def strategy(*names: str) -> Any:
    """An object of a class with these bases, the first being its own, as Flower's strategies."""
    made: type = object
    for name in reversed(names):
        made = type(name, (made,), {"__module__": "flwr.serverapp.strategy"})
    return made()


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ([array("float32", 10, 10)], 400 + 800),
        ([array("float32", 100), array("float64", 100)], 1200 + 1600),
        ([array("uint8", 100)], 800 + 1600),  # the average of integers is float64
        ([array("bool", 100), array("float16", 100)], 1000 + 1600),
        ([array("bfloat16", 100, data=bytes(200))], 200 + 400),
        ([array("float32")], 4 + 8),
    ],
)
def test_an_average_needs_the_sum_and_twice_the_largest_array(arrays: list[Any], expected: int) -> None:
    named = {str(number): each for number, each in enumerate(arrays)}
    assert aggregation_bytes(strategy("FedAvg"), named, 2) == expected


def test_some_strategies_need_more() -> None:
    one = {"w": array("float32", 100)}
    assert aggregation_bytes(strategy("FedAdam", "FedOpt", "FedAvg"), one, 2) == 7 * 400
    assert aggregation_bytes(strategy("Krum", "FedAvg"), one, 3) == 6 * 400
    assert aggregation_bytes(strategy("FedMedian", "FedAvg"), one, 3) == 9 * 400


@pytest.mark.parametrize(
    ("limit", "stat", "expected"),
    [("max", "anon 5", None), ("9223372036854771712", "anon 5", None), ("1000", "anon 5\nfile 7", (1000, 5)), ("1000", "", (1000, 0))],
)
def test_the_limit_is_the_cgroups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, stat: str, expected: tuple[int, int] | None
) -> None:
    monkeypatch.setenv("PANAL_CGROUP", str(tmp_path))
    assert limit_and_use() is None
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.stat").write_text(stat)
    assert limit_and_use() == expected


def test_a_model_that_does_not_fit_ends_the_run_with_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_CGROUP", str(tmp_path))
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    (tmp_path / "memory.max").write_text(str(10 << 20))
    (tmp_path / "memory.stat").write_text(f"anon {2 << 20}\n")
    require_memory(Journal(), strategy("FedAvg"), {"w": array("float32", 512 * KIB)})
    require_memory(Journal(), strategy("FedAvg"), None)
    with pytest.raises(RunError, match="needs 14 MiB, of which 2 MiB are in use before it, and the container superlink may have 10 MiB"):
        require_memory(Journal(), strategy("FedAvg"), {"w": array("float32", 1024 * KIB)})
    assert "ModelTooLarge" in (tmp_path / "progress.jsonl").read_text()
