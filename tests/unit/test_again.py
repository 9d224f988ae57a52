"""The second attempt of tests that wait for programs."""

import subprocess
import sys
from pathlib import Path

import pytest

AGAIN = Path(__file__).parents[1] / "testenv" / "again.py"
LATE = """
import pathlib

def test_one():
    seen = pathlib.Path(__file__).with_suffix(".seen")
    before, _ = seen.exists(), seen.touch()
    assert before
"""
FAILS = "def test_two():\n    assert not 1\n"
PASSES = "def test_three():\n    pass\n"


def run(folder, **files):
    (folder / "pytest.ini").touch()
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    words = [sys.executable, AGAIN, "-q", "-p", "no:cacheprovider", "-k", "test", "."]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_what_passes_the_second_time_is_named_and_only_its_file_runs_again(tmp_path):
    ended = run(tmp_path, late=LATE, passes=PASSES)
    assert ended.returncode == 0, ended.stdout
    assert "PASSED ONLY THE SECOND TIME: test_late.py::test_one" in ended.stdout
    assert ended.stdout.splitlines()[-2].startswith("1 passed")


@pytest.mark.parametrize("others", [{}, {"late": LATE}])
def test_what_fails_twice_has_failed(tmp_path, others):
    ended = run(tmp_path, fails=FAILS, **others)
    assert ended.returncode == 1
    assert "ONLY THE SECOND" not in ended.stdout


def test_many_failures_and_errors_of_usage_have_no_second_attempt(tmp_path):
    ended = run(tmp_path, many="".join(FAILS.replace("two", f"two_{i}") for i in range(4)))
    assert ended.returncode == 1
    assert "second attempt" not in ended.stdout
    assert run(tmp_path, wrong="import nothing_of_this_name").returncode == 2


def test_what_passes_runs_once(tmp_path):
    ended = run(tmp_path, passes=PASSES)
    assert (ended.returncode, ended.stdout.count("passed")) == (0, 1)
