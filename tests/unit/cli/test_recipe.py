"""How an app's image is made, from its pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from panal.cli import recipe
from panal.client.problem import Code, Problem

PROJECT = '[project]\nname = "app"\nversion = "1"\n'


def test_everything_has_a_default(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    found = recipe.read(tmp_path)
    assert (found.requirements.arguments, found.env, found.prepare, found.cmd) == ([], {}, [], [])


def test_what_is_installed_and_the_table_of_the_image(tmp_path: Path) -> None:
    table = 'dependencies = ["one"]\n[tool.panal.image]\nprepare = ["sh"]\nenv = { A = "{root}" }\ncmd = ["a", "b"]\n'
    (tmp_path / "pyproject.toml").write_text(PROJECT + table)
    (tmp_path / "requirements.txt").write_text("two")
    found = recipe.read(tmp_path, ("one==1",))
    assert found.requirements.arguments == ["-r", str(tmp_path / "requirements.txt"), "one", "one==1"]
    assert (found.env, found.prepare, found.cmd) == ({"A": "{root}"}, ["sh"], ["a", "b"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[project]\nname = "caf\xe9"\n', "cannot be read"),
        (None, "pyproject.toml is missing: an image is made of a folder"),
        ("[", "cannot be read"),
        (PROJECT + "[tool.panal.image]\nrun = 1\n", "has the unknown keys run"),
        (PROJECT + 'dependencies = "flwr"\n', "project.dependencies is not a list of strings"),
    ],
)
def test_a_pyproject_that_is_invalid_is_named(tmp_path: Path, content: str | bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Problem, match=said) as found:
        recipe.read(tmp_path)
    assert found.value.code == Code.IMAGE
