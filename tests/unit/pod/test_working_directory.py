"""The app's working directory: its content at the start, the launcher's list at the end, and what the reporter collects."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from panal.pod import collecting
from panal.pod.collecting import Collector
from panal.pod.storing import Place
from panal.pod.tools import working_directory
from panal.pod.tools.flower.app_folder import app_folder

PYPROJECT = '[tool.flwr.app]\npublisher = "p"\n'


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The app's folder in the image, which is the current directory."""
    folder = tmp_path / "image"
    texts = {"pyproject.toml": PYPROJECT, "data/x.csv": "1,2\n", "out/log.csv": "", "venv/lib/big": "x", "run.sh": "true"}
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "data/x.csv").chmod(0o444)
    (folder / "run.sh").chmod(0o755)
    monkeypatch.setenv("PANAL_WORK_DIR", str(tmp_path / "work"))
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    monkeypatch.delenv("PANAL_APP_DIR", raising=False)
    monkeypatch.chdir(folder)
    return folder


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def listed(tmp_path: Path) -> dict[str, Any]:
    before = json.loads((tmp_path / "work/copied.json").read_text())
    return working_directory.changed(tmp_path / "work/app", before)


def test_the_apps_files_are_copied_and_writable(app: Path, tmp_path: Path) -> None:
    working_directory.enter(app_folder)
    assert Path.cwd() == tmp_path / "work/app"
    assert tree(Path.cwd()) == {"pyproject.toml", "data/x.csv", "out/log.csv", "run.sh"}
    assert os.access("run.sh", os.X_OK)
    with Path("out/log.csv").open("a") as file:
        file.write("round 1\n")
    Path("data/x.csv").write_text("changed")
    Path("model.npz").write_bytes(b"model")
    assert (app / "data/x.csv").read_text() == "1,2\n"
    assert listed(tmp_path) == {"files": [("data/x.csv", 7), ("model.npz", 5), ("out/log.csv", 8)], "left_out": {}, "more": 0}


def test_a_restarted_container_keeps_the_working_directory(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working_directory.enter(app_folder)
    Path("checkpoint").write_text("1")
    monkeypatch.chdir(app)
    working_directory.enter(app_folder)
    assert Path("checkpoint").read_text() == "1"
    assert [path for path, _ in listed(tmp_path)["files"]] == ["checkpoint"]


def test_an_interrupted_copy_is_repeated(app: Path, tmp_path: Path) -> None:
    (tmp_path / "work/app/data").mkdir(parents=True)
    (tmp_path / "work/app/data/x.csv").write_text("half")
    working_directory.enter(app_folder)
    assert Path("data/x.csv").read_text() == "1,2\n"


@pytest.mark.parametrize("limit", ["SIZE", "FILES"])
def test_a_folder_that_is_too_large_is_linked(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    monkeypatch.setattr(working_directory, limit, 3)
    working_directory.enter(app_folder)
    assert "too large for the working directory" in capsys.readouterr().out
    assert Path("data/x.csv").read_text() == "1,2\n"
    assert not Path("venv").exists()
    Path("model.npz").write_bytes(b"model")
    assert not (app / "model.npz").exists()
    assert listed(tmp_path)["files"] == [("model.npz", 5)]


def test_links_of_the_image_are_preserved(app: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/big.bin").write_text("big")
    links = {"set": tmp_path / "elsewhere", "own": app / "data", "one": app / "data/x.csv", "up": app, "gone": "nowhere"}
    for name, target in links.items():
        (app / name).symlink_to(target)
    working_directory.enter(app_folder)
    assert Path("set/big.bin").read_text() == "big"
    assert Path("own").resolve() == tmp_path / "work/app/data"  # not in the image
    assert Path("up").resolve() == tmp_path / "work/app"
    assert not Path("one").is_symlink()
    assert not os.path.lexists("gone")
    assert listed(tmp_path) == {"files": [], "left_out": {}, "more": 0}


def test_without_an_app_the_working_directory_is_empty(app: Path, tmp_path: Path) -> None:
    (app / "pyproject.toml").unlink()
    working_directory.enter(app_folder)
    assert tree(tmp_path / "work/app") == set()


def test_without_a_volume_the_working_directory_does_not_change(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PANAL_WORK_DIR")
    working_directory.enter(app_folder)
    assert Path.cwd() == app
    working_directory.hand_over()


def test_entries_that_are_not_files_are_reported(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working_directory.enter(app_folder)
    Path("link").symlink_to("/etc/passwd")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert listed(tmp_path)["left_out"] == {
            "link": "it is a link", "pipe": "it is not a regular file", "socket": "it is not a regular file",
        }  # fmt: skip
    monkeypatch.setattr(working_directory, "LISTED", 2)
    assert listed(tmp_path)["more"] == 1


# --- the reporter ------------------------------------------------------------------------------------------------
def collected(tmp_path: Path) -> dict[str, Any]:
    """The reporter's result for the launcher's list."""
    place = Place.of(tmp_path / "volume", "pvc://models", "", ("ns", "run", "u1"))
    collector = Collector(tmp_path, tmp_path / "work", place, {"name": "run"}, lambda: None)
    found = asyncio.run(collector.collect_once())
    answer: dict[str, Any] = json.loads((tmp_path / "collected.json").read_text())
    assert (found.model_dump() if found else None) == answer.get("status")
    assert asyncio.run(collector.collect_once()) is None
    return answer


STORED = "volume/ns/run/u1"


def metadata(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / STORED / "metadata.json").read_text())
    return found


def ask(tmp_path: Path, *paths: str, **more: Any) -> None:
    (tmp_path / "files.json").write_text(json.dumps({"files": [[path, 1] for path in paths], "left_out": {}, "more": 0} | more))


def test_files_are_stored_with_the_model_and_listed_in_the_metadata(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working_directory.enter(app_folder)
    Path("plots").mkdir(mode=0o700)
    Path("plots/loss ☃.txt").write_text("0.1")
    Path("plots/loss ☃.txt").chmod(0o600)
    (tmp_path / STORED).mkdir(parents=True)
    (tmp_path / STORED / "metadata.json").write_text('{"model": {"round": 3}}')
    monkeypatch.setattr(working_directory, "_wait", lambda: collected(tmp_path))
    working_directory.hand_over()
    assert (tmp_path / STORED / "files/plots/loss ☃.txt").read_text() == "0.1"
    assert (Path("plots/loss ☃.txt").stat().st_mode & 0o777, Path("plots").stat().st_mode & 0o777) == (0o640, 0o750)
    digest = hashlib.sha256(b"0.1").hexdigest()
    assert metadata(tmp_path) == {
        "model": {"round": 3},
        "files": {
            "uri": "pvc://models/ns/run/u1/files/", "count": 1, "size": 3, "more": 0, "leftOut": [],
            "list": [{"path": "plots/loss ☃.txt", "size": 3, "sha256": digest}],
        },
    }  # fmt: skip


def test_without_new_files_there_is_no_list(app: Path, tmp_path: Path) -> None:
    working_directory.enter(app_folder)
    working_directory.hand_over()
    assert not (tmp_path / "files.json").exists()


def test_paths_stay_in_the_folder_and_links_are_not_followed(tmp_path: Path) -> None:
    work = tmp_path / "work/app"
    (work / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("token")
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "sub/up").symlink_to(tmp_path)
    os.mkfifo(work / "pipe")
    (work / "good").write_text("1")
    paths = ["link", "sub/up/secret", "../secret", str(tmp_path / "secret"), "sub/../good", "", "sub", "pipe", "a\0b", "gone", "good"]
    ask(tmp_path, *paths)
    answer = collected(tmp_path)
    assert (answer["status"]["count"], tree(tmp_path / STORED)) == (1, {"files/good", "metadata.json"})
    assert len(answer["left_out"]) == len(paths) - 1
    assert answer["left_out"]["pipe"] == "it is not a regular file"
    assert answer["left_out"]["gone"] == "No such file or directory"
    assert "token" not in (tmp_path / "collected.json").read_text()


def test_a_working_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "secret").write_text("token")
    (tmp_path / "work/app").symlink_to(tmp_path)
    ask(tmp_path, "secret")
    assert "error" in collected(tmp_path)
    assert not (tmp_path / STORED / "files").exists()


def test_number_and_actual_size_of_files_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work/app"
    work.mkdir(parents=True)
    for name, size in {"a": 4, "b": 20, "c": 5, "d": 1}.items():
        (work / name).write_text("x" * size)
    monkeypatch.setattr(collecting, "SIZE", 10)
    monkeypatch.setattr(collecting, "FILES", 2)
    ask(tmp_path, "a", "b", "c", "d", left_out={"l": "it is a link"}, more=3)
    answer = collected(tmp_path)
    assert (answer["status"]["count"], answer["status"]["size"], set(answer["left_out"])) == (2, 9, {"b", "d", "l"})
    assert answer["status"]["left_out"] == 6
    assert answer["left_out"]["d"] == "2 files is the limit of collected files"
    assert metadata(tmp_path)["files"]["more"] == 3
    assert tree(tmp_path / STORED) == {"files/a", "files/c", "metadata.json"}


def test_names_are_escaped_in_the_metadata_only(tmp_path: Path) -> None:
    work = tmp_path / "work/app"
    work.mkdir(parents=True)
    odd = os.fsdecode(b"\xff\x1b[31m\n")
    (work / odd).write_text("1")
    ask(tmp_path, odd)
    assert collected(tmp_path)["status"]["count"] == 1
    assert (tmp_path / STORED / "files" / odd).read_text() == "1"
    (listed_file,) = metadata(tmp_path)["files"]["list"]
    assert listed_file["path"] == "\\udcff\\x1b[31m\\n"


LONG = '{"files": [], "left_out": {}' + " " * 9_000_000 + "}"


@pytest.mark.parametrize(("said", "counted"), [(10**30, 1_000_000), (-1, 0), ("many", 0), (None, 0)])
def test_invalid_counts_are_zero(tmp_path: Path, said: Any, counted: int) -> None:
    (tmp_path / "work/app").mkdir(parents=True)
    ask(tmp_path, more=said)
    assert collected(tmp_path)["status"]["left_out"] == counted


@pytest.mark.parametrize("text", ["", "[]", '{"files": 1}', '{"files": [], "left_out": 3}', LONG], ids=range(5))
def test_a_malformed_list_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "work/app").mkdir(parents=True)
    (tmp_path / "files.json").write_text(text)
    assert "error" in collected(tmp_path)


def test_files_are_collected_once_and_leftovers_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "work/app").mkdir(parents=True)
    (tmp_path / "work/app/new").write_text("1")
    (tmp_path / STORED / "files").mkdir(parents=True)
    (tmp_path / STORED / "files/old").write_text("of a killed reporter")
    ask(tmp_path, "new")
    first = collected(tmp_path)
    (tmp_path / "work/app/new").unlink()
    assert collected(tmp_path) == first
    assert tree(tmp_path / STORED) == {"files/new", "metadata.json"}
