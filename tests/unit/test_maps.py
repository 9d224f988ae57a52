"""The maps to regulations are complete, and name commands that exist. `test_project.py` follows their links."""

import re
from pathlib import Path

import pytest
import typer

from panal.cli.main import app

MAPS = sorted((Path(__file__).parents[2] / "docs/compliance").glob("*.md"))
SATRE = (  # version 2.0.1: capabilities, and the number of statements of each
    "1.1:3 1.2:12 1.3:5 1.4:7 1.5:6 1.6:9 1.7:4 2.1:18 2.2:15 2.3:4 2.4:5 2.5:3 2.6:5 2.7:6 2.8:5 2.9:1 3.1:20 3.2:6 "
    "3.3:9 3.4:4 4.1:2 4.2:2 4.3:3 4.4:4 4.5:1 4.6:1 4.7:1 4.8:3 5.1:10 5.2:1 5.3:2 5.4:4 5.5:1 5.6:2 5.7:1"
)
ANNEX_IV = [*(f"1({letter})" for letter in "abcdefgh"), *(f"2({letter})" for letter in "abcdefgh"), *map(str, range(3, 10))]
EHDS = {"EHDSR": 18, "FSPER": 10, "FCR": 9}


def first_cells(page: str) -> str:
    """The first column of all tables."""
    text = next(each for each in MAPS if each.stem == page).read_text()
    return "\n".join(re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE))


def test_every_statement_of_satre_is_there_once() -> None:
    capabilities = dict(each.split(":") for each in SATRE.split())
    wanted = [f"{name}.{n:02}" for name, count in capabilities.items() for n in range(1, int(count) + 1)]
    assert len(wanted) == 185
    assert sorted(re.findall(r"\b(\d\.\d\.\d\d) [MRO]\b", first_cells("satre"))) == sorted(wanted)


def test_every_point_of_annex_iv_is_there() -> None:
    assert re.findall(r"^(\d(?:\([a-h]\))?) ", first_cells("ai-act-annex-iv"), re.MULTILINE) == ANNEX_IV


@pytest.mark.parametrize("kind", EHDS)
def test_every_requirement_for_secure_processing_is_there(kind: str) -> None:
    found = re.findall(rf"\b{kind}-(\d+)\b", first_cells("ehds-secure-processing"))
    assert sorted(map(int, found)) == list(range(1, EHDS[kind] + 1))


@pytest.mark.parametrize("page", MAPS, ids=lambda page: page.stem)
def test_the_commands_exist(page: Path) -> None:
    named = re.findall(r"`panal ([a-z][^`]*)`", page.read_text())
    assert named
    for words in named:
        command = typer.main.get_command(app)
        for word in words.split():
            if word[0].isupper() or word.startswith("-"):  # it stands for an argument, or is an option
                break
            command = getattr(command, "commands", {}).get(word)
            assert command is not None, words
