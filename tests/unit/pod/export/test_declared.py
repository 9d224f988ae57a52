"""How the function that an app names reaches the model: pyproject.toml, the run's folder, model.json, the stored model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from panal.pod.storing import METADATA, Place, store
from panal.pod.tools.ending import main_program
from panal.pod.tools.export.declared import announce, announced
from panal.pod.tools.files import ARRAYS, MODEL, RunError
from panal.pod.tools.model import write_model


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, folder in (("PANAL_RUN_DIR", "run"), ("PANAL_APP_DIR", "app")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path / "app"


def names(app: Path, text: str) -> None:
    (app / "pyproject.toml").write_text(text)


def test_the_function_goes_with_the_model(app: Path, tmp_path: Path) -> None:
    names(app, '[tool.panal]\nexport = "inner.export:to_onnx"\n')
    announce()
    write_model(tmp_path / "handed", [("w", np.zeros(2))], {"start": 1, "round": 2})
    model = json.loads((tmp_path / "handed" / MODEL).read_text())
    place = Place.of(tmp_path / "storage", "pvc://models", "", ("ns", "digits", "u"))
    status = store(tmp_path / "handed" / ARRAYS, model, place, {}, lambda: None)
    assert status.export == "inner.export:to_onnx"
    assert json.loads((place.folder / METADATA).read_text())["model"]["export"] == "inner.export:to_onnx"
    other = store(tmp_path / "handed" / ARRAYS, {**model, "export": "no function"}, place, {}, lambda: None)
    assert other.export is None, "what the image has written is not trusted"


@pytest.mark.parametrize("text", ["", "[tool.flwr]\n", "[tool]\npanal = 1\n", "[tool.panal.image]\nenv = {}\n", "no toml"])
def test_an_app_that_names_none_exports_nothing(text: str, app: Path) -> None:
    names(app, text)
    announce()
    assert announced() == ""


def test_no_app_exports_nothing(app: Path) -> None:
    app.rmdir()
    announce()
    assert announced() == ""


@pytest.mark.parametrize("value", ['"export"', '"a:b:c"', '"a b:c"', '":f"', "3", '["a:b"]', f'"a:{"b" * 300}"'])
def test_what_is_no_function_ends_the_run_before_the_training(value: str, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names(app, f"[tool.panal]\nexport = {value}\n")
    with pytest.raises(RunError, match="it must be of the form module:function"):
        announce()
    message = app.parent / "message"
    monkeypatch.setenv("PANAL_TERMINATION_LOG", str(message))
    assert main_program(lambda: pytest.fail("the program has run"), "launcher") == 1
    assert json.loads(message.read_text())["reason"] == "AppInvalid"
