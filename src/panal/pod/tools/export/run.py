"""Calls the app's export function, without network, and checks what it has written: `run.py export run MODULE:FUNCTION FOLDER`.

The function gets the arrays of the model by name, the content of metadata.json, and the folder for its files. It may return `inputs` and
`outputs` of the model, as lists of `{"name": ..., "type": "float32", "shape": [-1, 64]}`, which are otherwise those of the ONNX file. The
report says of each file how it was checked. Exits with 1 if the function or a check fails; the last line says why.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import FILES, REPORT
from .arrays import FormatError, read
from .declared import app_folders
from .isolated import IsolationError, isolate

CHECKING = 900.0  # seconds for a file
PORTS = ("inputs", "outputs")
LIBRARIES = ("onnx", "onnxruntime", "skl2onnx", "onnxmltools", "scikit-learn", "xgboost", "torch", "safetensors", "numpy", "flwr")


class ExportError(Exception):
    """The export has failed. The message is for the status."""


def call(function: str, model: Path, metadata: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Calls the function. Returns `inputs` and `outputs`, where it returns them. Raises ExportError."""
    module, _, name = function.partition(":")
    sys.path[:0] = [str(each) for each in app_folders() if each.is_dir()]
    try:
        exported = getattr(importlib.import_module(module), name)
    except Exception as error:
        traceback.print_exc()
        raise ExportError(f"{function} cannot be imported: {_line(error)}") from error
    try:
        returned = exported(read(model, metadata), dict(metadata), folder)
    except FormatError as error:
        raise ExportError(str(error)) from error
    except Exception as error:
        traceback.print_exc()
        raise ExportError(f"{function} raised {_line(error)}") from error
    if not isinstance(returned, dict):
        return {}
    return {side: _ports(function, side, returned[side]) for side in PORTS if side in returned}


def _ports(function: str, side: str, value: Any) -> list[dict[str, Any]]:
    try:
        return [{"name": str(p["name"]), "type": str(p["type"]), "shape": [int(length) for length in p["shape"]]} for p in value]
    except (TypeError, KeyError, ValueError) as error:
        wanted = '[{"name": ..., "type": "float32", "shape": [-1, 64]}]'
        raise ExportError(f"{function} returned {side} that are no list of the form {wanted}") from error


def checked(file: Path, model: Path, metadata: Path) -> dict[str, Any]:
    """Loads a file in a process of its own. Raises ExportError."""
    with TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        program = [sys.executable, str(Path(__file__).resolve().parents[2] / "run.py"), "export", "checks"]
        try:
            ended = subprocess.run([*program, *map(str, (file, model, metadata, answer))], timeout=CHECKING, check=False)
            found: dict[str, Any] = json.loads(answer.read_text())
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"{file.name} did not load within {CHECKING:.0f} s") from error
        except (OSError, ValueError) as error:
            raise ExportError(f"{file.name} does not load: the process that loads it ended with {ended.returncode}") from error
    if "error" in found:
        raise ExportError(str(found["error"]))
    return found


def export(function: str, model: Path, metadata: Path, target: Path) -> None:
    """Raises ExportError."""
    folder = target / FILES
    folder.mkdir(exist_ok=True)
    about = json.loads(metadata.read_bytes()) if metadata.is_file() else {}
    said = call(function, model, about, folder)
    checks = {}
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        found = checked(file, model, metadata)
        checks[str(file.relative_to(folder))] = found["check"]
        said |= {side: found[side] for side in PORTS if side in found and side not in said}
        print(f"{file.relative_to(folder)}: {found['check']}", flush=True)
    versions = {name: each.version for name in LIBRARIES for each in distributions(name=name)} | {"python": platform.python_version()}
    (target / REPORT).write_text(json.dumps({"function": function, "checks": checks, "versions": versions, **said}))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> int:
    function, target = sys.argv[1], Path(sys.argv[2])
    try:
        isolate()
        export(function, Path(os.environ["PANAL_MODEL"]), Path(os.environ["PANAL_METADATA"]), target)
    except IsolationError as error:
        print(f"the export is not called, because the network cannot be taken from it: {error}", file=sys.stderr)
        return 1
    except ExportError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
