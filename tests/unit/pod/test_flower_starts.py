"""How often an app calls `Strategy.start`, read from its source; and what its loops wait for."""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

import pytest

from panal.pod.tools.flower_starts import in_folder, several
from panal.pod.tools.flower_waits import bound, wanted

START = "strategy.start(grid=grid, initial_arrays=arrays)"


def app(body: str, rest: str = "") -> str:
    return f"@app.main()\ndef main(grid, context):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n{textwrap.dedent(rest)}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (app(START), False),
        (app(f"{START}\n{START}"), True),
        (app(f"for turn in range(3):\n    {START}"), True),
        (app(f"while going:\n    {START}"), True),
        (app(f"[{START} for strategy in found]"), True),
        (app(f"if private:\n    {START}\nelse:\n    {START}"), False),
        (app(f"if private:\n    {START}\n    return\n{START}"), False),
        (app(f"if warm:\n    {START}\n{START}"), True),
        (app(f"result = {START} if private else other.start(grid, arrays)"), False),
        (app(f"match kind:\n    case 1:\n        {START}\n    case _:\n        {START}"), False),
        (app(f"try:\n    {START}\nexcept ValueError:\n    {START}"), True),
        (app("train(grid)", f"def train(grid):\n    {START}"), False),
        (app("train(grid)\ntrain(grid)", f"def train(grid):\n    {START}"), True),
        (app("for n in range(2):\n    self.train(grid)", f"def train(grid):\n    {START}"), True),
        (app("train(grid)", f"def train(grid):\n    {START}\n    train(grid)"), False),
        (app("Timer(1).start()\nThread().start()\nstrategy.start(**settings)"), False),
        (app("KINDS[kind](grid)", f"def one(grid):\n    {START}\ndef other(grid):\n    {START}"), False),
        (app("KINDS[kind](grid)", f"def one(grid):\n    {START}\n    {START}"), True),
        (app(START, "class Own(FedAvg):\n    def start(self, **rest):\n        super().start(**rest)"), False),
        (app(START, f"def unused():\n    {START}\n    {START}"), False),
        ("this is no Python", False),
        ("", False),
    ],
)  # fmt: skip
def test_how_often_start_is_called(source: str, expected: bool) -> None:
    assert several([source]) is expected


def test_the_sources_of_an_app(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a.py").write_bytes(b"x = 1 # \xff\n")
    (tmp_path / "large.py").write_bytes(b"#" * (2 << 20))
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing")
    assert [source[:5] for source in in_folder(tmp_path)] == ["x = 1"]


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
def test_what_a_length_is_compared_with(test: str, expected: object) -> None:
    assert bound(ast.parse(test, mode="eval").body) == expected


def test_what_the_callers_loop_waits_for() -> None:
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
