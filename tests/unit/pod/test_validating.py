"""The steps of a validation that touch the storage."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from panal.pod.fetching import copy
from panal.pod.run_folder import InFolder, ResultError
from panal.pod.validating import LARGEST, collect

MODEL = b"a model"
DIGEST = f"sha256:{hashlib.sha256(MODEL).hexdigest()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The run's folder in the storage."""
    folder = tmp_path / "storage/fl/team/digits/u"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(MODEL)
    (folder / "metadata.json").write_text("{}")
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    write(tmp_path / "results/notebook.ipynb", {"accuracy": 0.5, "loss": "nan"})
    (tmp_path / "results/report.html").write_text("<html>")
    return tmp_path / "results"


def write(path: Path, metrics: dict, *more: dict) -> None:
    shown = {"output_type": "display_data", "data": {"application/vnd.panal.metrics+json": metrics}}
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": "x = 1", "outputs": [shown, *more]}], "nbformat": 4}))


def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_the_model_is_copied_with_what_is_beside_it(folder: Path, tmp_path: Path) -> None:
    target = scratch(tmp_path)
    copy(InFolder(folder), target, "model.safetensors", DIGEST)
    assert sorted(each.name for each in target.iterdir()) == ["metadata.json", "model.safetensors"]


def test_a_model_that_was_changed_or_is_gone_is_not_validated(folder: Path, tmp_path: Path) -> None:
    target = scratch(tmp_path)
    with pytest.raises(ResultError, match="somebody has changed it"):
        copy(InFolder(folder), target, "model.safetensors", "sha256:other")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ResultError, match=r"the storage has no model\.safetensors"):
        copy(InFolder(folder), target, "model.safetensors", DIGEST)


def test_the_results_are_stored_beside_the_model(folder: Path, results: Path, tmp_path: Path) -> None:
    result = collect(InFolder(folder), results, scratch(tmp_path))
    assert result.metrics == {"accuracy": 0.5, "loss": "NaN"}
    assert result.failure == ""
    assert sorted(each.name for each in (folder / "validation").iterdir()) == ["metrics.json", "notebook.ipynb", "report.html"]
    assert json.loads((folder / "validation/metrics.json").read_text()) == {"accuracy": 0.5, "loss": "NaN"}
    assert (folder / "model.safetensors").read_bytes() == MODEL


def test_a_cell_that_failed_is_the_result(folder: Path, results: Path, tmp_path: Path) -> None:
    write(results / "notebook.ipynb", {"accuracy": 0.5}, {"output_type": "error", "ename": "AssertionError", "evalue": "too few"})
    assert collect(InFolder(folder), results, scratch(tmp_path)).failure == "cell 1 (x = 1): AssertionError: too few"
    assert (folder / "validation/report.html").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing", "large", "no notebook"])
def test_only_regular_files_of_a_limited_size_are_taken(kind: str, folder: Path, results: Path, tmp_path: Path) -> None:
    file = results / "notebook.ipynb"
    file.unlink()
    match kind:
        case "link":
            file.symlink_to(folder / "metadata.json")
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "large":
            with file.open("wb") as opened:
                opened.truncate(LARGEST + 1)
        case "no notebook":
            file.write_text("{}")
    with pytest.raises(ResultError):
        collect(InFolder(folder), results, scratch(tmp_path))
    assert not (folder / "validation").exists()


def test_the_programs_read_their_environment(folder: Path, results: Path, tmp_path: Path) -> None:
    run = {"PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": "u", "PANAL_STORAGE_URI": "pvc://models"}
    model = {"PANAL_MODEL_FILE": "model.safetensors", "PANAL_MODEL_DIGEST": DIGEST, "PANAL_MODEL_DIR": str(scratch(tmp_path))}
    place = {"PANAL_STORAGE_DIR": str(tmp_path / "storage"), "PANAL_STORAGE_PATH": "fl", "PANAL_RESULTS_DIR": str(results)}
    message = tmp_path / "message"
    env = os.environ | run | model | place | {"PANAL_TERMINATION_LOG": str(message)}

    def step(name: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"panal.pod.{name}"]
        return subprocess.run(command, env=env | more, capture_output=True, text=True, check=False)

    assert step("fetching").returncode == 0
    assert (tmp_path / "scratch/model.safetensors").read_bytes() == MODEL
    assert step("validating").returncode == 0
    assert json.loads(message.read_text()) == {"metrics": {"accuracy": 0.5, "loss": "NaN"}, "failure": ""}
    failed = step("fetching", PANAL_MODEL_DIGEST="sha256:\x1b[0m")
    assert (failed.returncode, "\\x1b" in failed.stderr) == (1, True)
