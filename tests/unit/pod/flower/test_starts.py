"""How often an app calls `Strategy.start`, and how many nodes its loops wait for, according to its source."""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from panal.pod.tools.flower.starts import Starts, python_files
from panal.pod.tools.flower.waits import bound, wanted

START = "strategy.start(grid=grid, initial_arrays=arrays)"


def app(body: str, rest: str = "") -> str:
    inner = textwrap.indent(textwrap.dedent(body), "    ")
    return f"def main(grid, strategy, other, arrays, settings, **flags):\n{inner}\n{textwrap.dedent(rest)}"


class Strategy:
    """Determines in `start` whether that call is one of several."""

    def __init__(self, starts: Starts) -> None:
        self.starts = starts
        self.results: list[bool] = []

    def start(self, *_args: object, **_settings: object) -> None:
        self.results.append(self.starts.several(sys._getframe(1)))


TABLE = "KINDS[flags['kind']](grid, strategy, arrays)"
PARAMETERS = "(grid, strategy, arrays)"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (app(START), False),
        (app(f"{START}\n{START}"), True),
        (app(f"for turn in range(3):\n    {START}"), True),
        (app(f"while True:\n    {START}\n    break"), True),
        (app(f"[{START} for turn in range(2)]"), True),
        (app(f"if grid:\n    {START}\nelse:\n    {START}"), False),
        (app(f"if grid:\n    {START}\n    return\n{START}"), False),
        (app(f"if not grid:\n    {START}\n{START}"), True),
        (app(f"result = {START} if grid else other.start(grid, arrays)"), False),
        (app(f"match grid:\n    case 1:\n        {START}\n    case _:\n        {START}"), False),
        (app(f"try:\n    {START}\nexcept ValueError:\n    {START}"), True),
        (app(f"train{PARAMETERS}", f"def train{PARAMETERS}:\n    {START}"), False),
        (app(f"train{PARAMETERS}\ntrain{PARAMETERS}", f"def train{PARAMETERS}:\n    {START}"), True),
        (app(f"for n in range(2):\n    train{PARAMETERS}", f"def train{PARAMETERS}:\n    {START}"), True),
        (app(f"train{PARAMETERS}", f"def train{PARAMETERS}:\n    {START}\n    if not grid:\n        train{PARAMETERS}"), True),
        (app("if not grid:\n    Timer(1).start()\nstrategy.start(**settings)"), False),
        (app(TABLE, f"def one{PARAMETERS}:\n    {START}\ndef two{PARAMETERS}:\n    {START}\nKINDS = {{0: one}}"), False),
        (app(TABLE, f"def one{PARAMETERS}:\n    {START}\n    {START}\nKINDS = {{0: one}}"), True),
        (app(f"if not grid:\n    {START}\n    return\n{TABLE}", f"def one{PARAMETERS}:\n    {START}\nKINDS = {{0: one}}"), False),
        (app(f"for n in range(2):\n    {TABLE}", f"def one{PARAMETERS}:\n    {START}\nKINDS = {{0: one}}"), True),
        (app(START, f"def unused{PARAMETERS}:\n    {START}\n    {START}"), False),
    ],
)  # fmt: skip
def test_how_often_start_is_called(source: str, expected: bool, tmp_path: Path) -> None:
    file = tmp_path / "server_app.py"
    file.write_text(source)
    (tmp_path / "half.py").write_text("this is no Python")
    names: dict[str, Any] = {}
    exec(compile(source, str(file), "exec"), names)
    strategy = Strategy(Starts(tmp_path))
    names["main"]("grid", strategy, strategy, [], {}, kind=0)
    assert strategy.results[0] is expected


def test_a_call_without_source_counts_as_one(tmp_path: Path) -> None:
    assert not Starts(tmp_path).several(sys._getframe())


def test_small_python_files_of_an_app_are_read(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a.py").write_bytes(b"x = 1 # \xff\n")
    (tmp_path / "large.py").write_bytes(b"#" * (2 << 20))
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing")
    assert [file.name for file in python_files(tmp_path)] == ["a.py"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("len(nodes) < least", "least"),
        ("least > len(nodes)", "least"),
        ("len(list(grid.get_node_ids())) < 5", 5),
        ("len(nodes := f()) < least", "least"),
        ("not ready", None),
        ("a < b", None),
        ("1 < len(nodes) < 3", None),
        ("len(a) < len(b)", None),
    ],
)
def test_the_value_that_a_length_is_compared_with(test: str, expected: object) -> None:
    assert bound(ast.parse(test, mode="eval").body) == expected


def test_the_number_in_the_callers_loop_is_found() -> None:
    def ask() -> int | None:
        return wanted(sys._getframe(1))

    least, nodes = 5, [1, 2]
    while len(nodes) < least:
        found = ask()
        break
    assert found == 5
    while True:
        if len(nodes) >= least - 0:
            break
        found = ask()
        break
    assert found is None
