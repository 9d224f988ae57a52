"""Which Flower an app gets, decided before anything is installed; nothing here is fetched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panal.cli import flower
from panal.cli.fetch import FetchError
from panal.cli.flower import for_flower, newest_allowed, resolve
from panal.cli.main import main
from panal.cli.requirements import Requirements
from panal.client.problem import Code, Problem
from panal.pod.tools.flower.known import MODULES, NEWEST, VERSIONS, WORKING

OLDEST = VERSIONS[0]


def never(requirement: str, _: Path) -> None:
    raise AssertionError(f"{requirement} must not be fetched")


def release(version: str) -> Callable[[str, Path], None]:
    """Fetches a made-up release with the modules that are hooked, which `known` makes known."""

    def fetch(_: str, folder: Path) -> None:
        (folder / f"flwr-{version}.dist-info").mkdir()
        for module in MODULES:
            file = folder / f"{module.replace('.', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"# {module}")

    return fetch


@pytest.mark.parametrize(
    ("lines", "version"),
    [
        (["flwr>=1.27"], NEWEST),
        (["flwr[simulation]>=1.29.0,<2.0", "numpy"], NEWEST),
        (["flwr"], NEWEST),
        (["FLWR == 1.41.*"], "1.41.0"),
        (["flwr~=1.40.0"], "1.40.0"),
        (["flwr>=1.27", "flwr<1.42"], "1.41.0"),
        (["flwr>=1.27,!=1.42.0"], "1.41.0"),
        (["flwr>=1.27 ; python_version >= '3'", "flwr<1.40 ; python_version < '3'"], NEWEST),
        (["flwr<1.40"], ""),
        (["flwr>=99"], ""),
    ],
)
def test_the_newest_known_version_that_every_range_allows(lines: list[str], version: str) -> None:
    assert newest_allowed(for_flower(lines)) == version


def test_what_is_chosen_is_installed_and_said() -> None:
    found = resolve(Requirements(["numpy", "flwr[simulation]>=1.27"]), never)
    assert found is not None
    assert (found.pins, found.description) == ((f"flwr=={NEWEST}",), f"flwr {NEWEST}, of flwr[simulation]>=1.27")
    assert resolve(Requirements(["numpy", "./flwr", "not a requirement"]), never) is None


def test_a_complete_list_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    for version, ends in ((OLDEST, False), ("1.30.0", True)):
        lock.write_text(f"flwr=={version} ; sys_platform == 'linux' \\\n --hash=sha256:00\n")
        wanted = Requirements(["flwr>=1.27"], lock)
        if ends:
            with pytest.raises(Problem, match=r"flwr==1.30.0 allows no version") as caught:
                resolve(wanted, never)
            assert caught.value.remedy.endswith("in requirements.txt.")
        else:
            found = resolve(wanted, never)
            assert found is not None
            assert (found.version, found.pins) == (version, ())


@pytest.mark.parametrize("asked", ["flwr<1.40", "flwr==1.30.0", "flwr~=1.29.0", "flwr>=1.27,<1.40"])
def test_a_range_without_a_version_that_works_is_refused_with_those_that_do(asked: str) -> None:
    with pytest.raises(Problem, match="allows no version of Flower that panal supports") as caught:
        resolve(Requirements([asked]), never)
    assert asked.partition(",")[0] in str(caught.value) or "<1.40,>=1.27" in str(caught.value)
    assert f'write "flwr=={NEWEST}"' in caught.value.remedy
    assert all(version.rpartition(".")[0] in caught.value.remedy for version in VERSIONS)


@pytest.mark.parametrize("asked", ["flwr==1.99.0", "flwr>=1.99", "flwr ~= 1.99.0", "flwr @ https://user:password@example.com/flwr.whl"])
def test_a_version_that_is_not_known_by_its_number_is_known_by_its_modules(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    fetched: list[str] = []
    by_address = "@" in asked

    def fetch(requirement: str, folder: Path) -> None:
        fetched.append(requirement)
        release("1.99.0")(requirement, folder)

    with pytest.raises(Problem, match=r"is Flower 1\.99\.0, which panal does not support\. Its flwr\.") as caught:
        resolve(Requirements([asked]), fetch)
    assert "password" not in str(caught.value)
    monkeypatch.setattr(flower, "difference", lambda read: "" if read("flwr/superlink/main.py") == b"# flwr.superlink.main" else "another")
    found = resolve(Requirements([asked]), fetch)
    assert found is not None
    assert (found.version, found.pins) == ("1.99.0", () if by_address else ("flwr==1.99.0",))
    assert fetched == [asked if by_address else asked.replace(" ", "")] * 2


def test_a_version_that_cannot_be_fetched_is_refused_with_those_that_work() -> None:
    def fetch(requirement: str, _: Path) -> None:
        raise FetchError(f"fetching {requirement} failed: no such version")

    with pytest.raises(Problem, match=r"fetching flwr==1\.99\.0 failed") as caught:
        resolve(Requirements(["flwr==1.99.0"]), fetch)
    assert f"flwr=={NEWEST}" in caught.value.remedy


APP = '[project]\nname = "app"\nversion = "1"\ndependencies = [{flwr}]\n[tool.flwr.app.components]\nserverapp = "a:b"\nclientapp = "c:d"\n'


@pytest.mark.parametrize("words", [["run", "APP"], ["image", "build", "APP", "-t", "app:1"]], ids=["run", "image build"])
def test_a_command_refuses_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(APP.format(flwr='"flwr<1.40"'))
    monkeypatch.setenv("PANAL_HOME", str(tmp_path / "platform"))
    monkeypatch.setattr(sys, "argv", ["panal", *(str(tmp_path) if word == "APP" else word for word in words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == Code.IMAGE
    remedy = f'panal supports Flower {WORKING}: write "flwr=={NEWEST}" in the dependencies of pyproject.toml.'
    assert f"flwr<1.40 allows no version of Flower that panal supports\n  {remedy}" in capsys.readouterr().err
    assert not (tmp_path / "platform").exists()


def test_both_commands_say_what_is_installed_and_from_which_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(APP.format(flwr='"flwr>=1.27"'))
    (tmp_path / "requirements.txt").write_text("tabulate\n")
    assert flower.pins(tmp_path) == (f"flwr=={NEWEST}",)
    assert capsys.readouterr().err.splitlines() == [
        "installs pyproject.toml's dependencies, and what requirements.txt adds",
        f"flwr {NEWEST}, of flwr>=1.27",
    ]
