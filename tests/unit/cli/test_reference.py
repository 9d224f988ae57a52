"""The reference page says what the commands say, and lists every exit code."""

import re
from pathlib import Path

from panal.cli.reference import renewed
from panal.client.problem import Code

PAGE = Path(__file__).parents[3] / "docs/reference/cli.md"


def test_the_tables_are_those_of_the_commands():
    page = PAGE.read_text()
    assert page == renewed(page), f"run: python -m panal.cli.reference {PAGE.name}"


def test_every_exit_code_is_there():
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)] == sorted(Code)
