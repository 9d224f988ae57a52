"""What of an export is stored beside the model, and how the next Job gets it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from panal.api.export import LONGEST, MOST
from panal.api.status import MAX_EXPORTED
from panal.pod import exporting
from panal.pod.exporting import collect
from panal.pod.fetching import copy_export
from panal.pod.run_folder import InFolder, ResultError


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for each in ("storage", "results/files/data", "scratch", "target"):
        (tmp_path / each).mkdir(parents=True)
    (tmp_path / "results/files/model.onnx").write_bytes(b"graph")
    (tmp_path / "results/files/data/w.bin").write_bytes(b"weights")
    report(tmp_path, checks={"model.onnx": "loaded by onnxruntime 1"}, inputs=[{"name": "x", "type": "float32", "shape": [-1, 3]}])
    return tmp_path


def report(home: Path, **said: object) -> None:
    (home / "results/report.json").write_text(json.dumps({"function": "app:export", "versions": {"onnx": "1"}} | said))


def stored(home: Path):
    return collect(InFolder(home / "storage"), home / "results", home / "scratch")


def test_the_files_are_stored_with_a_list(home: Path) -> None:
    result = stored(home)
    assert (result.count, result.size) == (2, 12)
    assert [(each.name, each.check) for each in result.files] == [
        ("data/w.bin", "Unchecked: nothing is known about it"),
        ("model.onnx", "loaded by onnxruntime 1"),
    ]
    assert result.files[1].digest == digest(b"graph")
    listing = (home / "storage/export/export.json").read_bytes()
    assert result.digest == digest(listing)
    assert json.loads(listing)["inputs"] == [{"name": "x", "type": "float32", "shape": [-1, 3]}]
    assert (home / "storage/export/data/w.bin").read_bytes() == b"weights"


def test_the_next_job_gets_the_same_files_or_none(home: Path) -> None:
    result = stored(home)
    store = InFolder(home / "storage")
    copy_export(store, home / "target", result.digest)
    assert (home / "target/export/data/w.bin").read_bytes() == b"weights"
    (home / "storage/export/model.onnx").write_bytes(b"other")
    with pytest.raises(ResultError, match=r"export/model\.onnx in the storage has .*, and export\.json has .*: somebody has changed it"):
        copy_export(store, home / "target", result.digest)
    (home / "storage/export/export.json").write_text("{}")
    with pytest.raises(ResultError, match=r"status\.export has"):
        copy_export(store, home / "target", result.digest)
    (home / "storage/export/export.json").unlink()
    with pytest.raises(ResultError, match=r"the storage has no export/export\.json of this run"):
        copy_export(store, home / "target", result.digest)


def write(files: Path, *names: str) -> None:
    for name in names:
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text("x")


def remove(files: Path) -> None:
    (files / "model.onnx").unlink()
    (files / "data/w.bin").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: (files / "x").symlink_to("/etc/passwd"), "x: Too many levels"),
        (lambda files: (files / "x").symlink_to("/etc"), "x: Too many levels"),
        (lambda files: os.mkfifo(files / "x"), "x is no regular file"),
        (lambda files: write(files, "a b"), "a b, whose name cannot be stored"),
        (lambda files: write(files, ".x"), "whose name cannot be stored"),
        (lambda files: write(files, "a/b/c/d/x"), "whose name cannot be stored"),
        (lambda files: write(files, "x" * (LONGEST + 1)), "whose name cannot be stored"),
        (lambda files: write(files, "export.json"), "which panal writes"),
        (lambda files: write(files, *(f"f{number}" for number in range(MOST))), f"{MOST} is the limit"),
        (remove, "has written no file"),
        (lambda files: (files.parent / "report.json").write_text("["), "report of the export, report.json, is malformed"),
        (
            lambda files: report(files.parent.parent, inputs=[{"name": "x", "type": "float32", "shape": ["n"]}]),
            "what the export says about its files cannot be used: inputs",
        ),
    ],
)
def test_only_plain_files_within_the_limits_are_taken(change: Callable[[Path], None], said: str, home: Path) -> None:
    change(home / "results/files")
    with pytest.raises(ResultError, match=said):
        stored(home)
    assert not (home / "storage/export").exists()


@pytest.mark.parametrize("replace", [lambda files, other: files.symlink_to(other), lambda files, _: files.write_text("x"), lambda *_: None])
def test_no_other_folder_is_stored_in_the_place_of_the_exports(replace: Callable[[Path, Path], None], home: Path) -> None:
    """The container that stores the files mounts the whole volume, with the models of other runs."""
    other = home / "storage/other/uid"
    write(other, "model.safetensors")
    shutil.rmtree(home / "results/files")
    replace(home / "results/files", other)
    with pytest.raises(ResultError, match="the export has replaced its folder, files"):
        stored(home)
    assert not (home / "storage/export").exists()


def test_a_pickle_is_refused_whatever_the_report_says(home: Path) -> None:
    (home / "results/files/data/w.bin").write_bytes(pickle.dumps([1]))
    report(home, checks={"data/w.bin": "loaded by onnxruntime 1"})
    with pytest.raises(ResultError, match=r"data/w\.bin is a pickle, which runs code when it is loaded"):
        stored(home)
    assert not (home / "storage/export").exists()


def test_a_report_that_is_a_link_is_not_followed(home: Path) -> None:
    (home / "results/report.json").rename(home / "storage/report.json")
    (home / "results/report.json").symlink_to(home / "storage/report.json")
    with pytest.raises(ResultError, match=r"report\.json: Too many levels"):
        stored(home)


def test_the_files_together_have_a_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "LARGEST", 11)
    with pytest.raises(ResultError, match="the export has written 12 bytes, and 11"):
        stored(home)


def test_what_an_image_says_is_bounded_and_escaped(home: Path) -> None:
    report(home, checks={"model.onnx": "\x1b[31mé" + "x" * 5000})
    for number in range(MAX_EXPORTED + 3):
        (home / f"results/files/f{number}.txt").write_text("x")
    result = stored(home)
    assert result.count == MAX_EXPORTED + 5
    assert len(result.files) == MAX_EXPORTED
    listed = json.loads((home / "storage/export/export.json").read_text())["files"]
    said = next(each["check"] for each in listed if each["name"] == "model.onnx")
    assert said.startswith("\\x1b[31m")
    assert len(said) <= 2 * LONGEST
    assert len(result.message().encode()) <= 4000
