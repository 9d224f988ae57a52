"""What reaches a terminal: nothing that moves its cursor, whoever wrote it; and a file as it was."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from panal.cli import follow, output
from panal.cli.logs import on_terminal
from panal.client import telling
from panal.client.problem import Code, Problem, of_api
from panal.kube.errors import from_status

HOSTILE = "gone\x1b[2J\r\nCompleted\u202e\0\ud800\x9b31m"
SEEN = r"gone\x1b[2J\r\nCompleted\u202e\x00\ud800\x9b31m"


@pytest.mark.parametrize(
    "say",
    [
        lambda: output.line(HOSTILE),
        lambda: output.note(HOSTILE),
        lambda: output.columns(("A", "B"), [("x", HOSTILE), ("y", "z")]),
        lambda: output.out.print(output.table(("A", "B"), [("x", HOSTILE)]), width=200),
        lambda: follow.Show(False, output.line).say("run", HOSTILE),
    ],
    ids=["line", "note", "columns", "table", "follow"],
)
def test_words_of_others_stay_on_their_line(say, capsys):
    say()
    found = "".join(capsys.readouterr())
    assert SEEN in found
    assert all(c.isprintable() or c == "\n" for c in found)
    assert "\nCompleted" not in found


def test_a_cell_is_not_markup(capsys):
    output.out.print(output.table(("A", "B"), [("[red]x[/red]", "y")]), width=200)
    assert "[red]x[/red]" in capsys.readouterr().out


def test_a_cell_without_end_is_cut(capsys):
    output.columns(("A", "B"), [("x" * 10_000, "y")])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 700


def test_a_problem_keeps_its_lines(capsys):
    output.problem(Problem(Code.IMAGE, "pip failed:\n  no such\x1b[2J package", "Look\rthere."))
    assert capsys.readouterr().err.splitlines() == ["error: pip failed:", r"  no such\x1b[2J package", "  Look", "there."]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"round 1\taccuracy 0.9", "round 1\taccuracy 0.9"),
        (b"10%|#\r20%|##\r", "10%|#\n20%|##"),
        (b"\r10%|#\r20%|##", "10%|#\n20%|##"),
        (b"dos\r", "dos"),
        (b"\x1b[31mred\x1b[0m \x07\x00", r"\x1b[31mred\x1b[0m \x07\x00"),
        ("größe \u202eevil".encode(), r"größe \u202eevil"),
        (b"\xff\xfe half \xe2\x82", r"\xff\xfe half \xe2\x82"),
    ],
)
def test_a_line_of_a_log_on_a_terminal(line, expected):
    assert on_terminal(line).decode() == expected


LOG = b"10%\r20%\x1b[2J"
WRITES = f"from panal.cli.logs import _write; _write({LOG!r})"


def test_a_log_is_shown_on_a_terminal_and_passed_on_elsewhere():
    piped = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, check=True).stdout
    assert piped == LOG + b"\n"
    ours, its = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", WRITES], stdout=its, check=True)
        assert os.read(ours, 1000) == b"10%\r\n20%\\x1b[2J\r\n"  # the terminal's own line ends
    finally:
        os.close(ours)
        os.close(its)


def test_an_api_servers_words_are_one_line():
    error = from_status(403, {"reason": "Forbidden", "message": "denied by a webhook\nerror: none\x1b[2J"})
    assert str(of_api(error, "here")) == "the API server (here) denies permission: " + r"denied by a webhook\nerror: none\x1b[2J"


def test_where_there_is_no_terminal_a_few_lines_tell_of_many_steps():
    now, said = [0.0], []
    few = telling.FewLines("installing", said.append, lambda: now[0])
    for seconds, step in [
        (0, "collecting a"),
        (1, "downloading a"),
        (11, "collecting c"),
        (12, "collecting d"),
        (13, "installing 4 packages"),
    ]:
        now[0] = seconds
        few(step)
    assert said == ["installing", "  collecting a", "  collecting c", "  installing 4 packages"]


def test_nothing_is_said_of_what_needs_no_step(capsys):
    with output.steps("installing"):
        pass
    assert capsys.readouterr().err == ""
