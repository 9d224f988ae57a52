"""What an image's environment is made of, and which of its two files counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from panal.cli.requirements import Requirements

DEPENDENCIES = ["flwr==1.41.*", "numpy>=2.0"]
LOCK = "flwr==1.41.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nnumpy==2.3.0 --hash=sha256:22\n"


def beside(folder: Path, text: str | None, dependencies: list[str] | None = None, pins: tuple[str, ...] = ()) -> Requirements:
    file = folder / "requirements.txt"
    if text is not None:
        file.write_text(text)
    return Requirements(DEPENDENCIES if dependencies is None else dependencies, file if text is not None else None, pins)


@pytest.mark.parametrize(
    ("text", "asked", "arguments", "told"),
    [
        (None, DEPENDENCIES, DEPENDENCIES, ""),
        ("tabulate\n", [*DEPENDENCIES, "tabulate"], ["-r", "FILE", *DEPENDENCIES], "and what requirements.txt adds"),
        ("", DEPENDENCIES, ["-r", "FILE", *DEPENDENCIES], "and what requirements.txt adds"),
        (LOCK, ["flwr==1.41.0 ; sys_platform == 'linux'", "numpy==2.3.0"], ["-r", "FILE"], "in the place of pyproject.toml's dependencies"),
    ],
    ids=["no file", "adds", "empty", "hashes"],
)
def test_a_list_adds_to_the_dependencies_unless_it_is_complete(
    tmp_path: Path, text: str | None, asked: list[str], arguments: list[str], told: str
) -> None:
    found = beside(tmp_path, text)
    assert found.asked == asked
    assert found.arguments == [str(tmp_path / "requirements.txt") if each == "FILE" else each for each in arguments]
    assert told in found.told
    assert bool(found.told) == bool(told)


def test_what_is_chosen_is_installed_as_well_but_not_beside_hashes(tmp_path: Path) -> None:
    assert beside(tmp_path, "tabulate\n", pins=("flwr==1.41.0",)).arguments[-1] == "flwr==1.41.0"
    assert beside(tmp_path, LOCK, pins=("flwr==1.41.0",)).arguments == ["-r", str(tmp_path / "requirements.txt")]


def test_other_files_comments_and_options_are_read_as_pip_does(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/base.txt").write_text("-r ../requirements.txt\n--constraint=limits.txt\nscipy # for the curve\n")
    (tmp_path / "more/limits.txt").write_text("flwr<1.42\n")
    text = "# what else\n--index-url https://example.com/simple\n-e .\n-r more/base.txt\n-rabsent.txt\ngood @ https://example.com/good.whl#sha256=00\n"
    found = beside(tmp_path, text, dependencies=[])
    assert found.asked == ["flwr<1.42", "scipy", "good @ https://example.com/good.whl#sha256=00"]
    assert found.told == ""


def test_environments_are_shared_by_all_that_is_installed_alike(tmp_path: Path) -> None:
    alike = beside(tmp_path, None)
    assert alike.identity == beside(tmp_path, None, dependencies=DEPENDENCIES[::-1]).identity
    listed = beside(tmp_path, "-r base.txt\n")
    found = {alike.identity, beside(tmp_path, None, pins=("flwr==1.41.0",)).identity, listed.identity}
    for version in ("0.9", "0.10"):
        (tmp_path / "base.txt").write_text(f"tabulate=={version}\n")
        found.add(listed.identity)
    assert len(found) == 4  # while base.txt is absent it is as without a list
