"""The program that calls the app's export function, as the container `export` starts it, and the checks."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from panal.pod.tools.export.checks import LOOKED_AT, RefusedError, check
from panal.pod.tools.install import install
from stored_models import stored

APP = """
import json, os, socket
from pathlib import Path
import numpy as np

def good(arrays, metadata, folder):
    assert isinstance(folder, Path)
    (folder / "sub").mkdir()
    (folder / "sub" / "sums.json").write_text(json.dumps({name: float(array.sum()) for name, array in arrays.items()}))
    (folder / "labels.txt").write_text(str(metadata["model"]["round"]))
    np.savez(folder / "copy.npz", **arrays)
    return {"inputs": [{"name": "x", "type": "float32", "shape": (-1, 3)}]}

def bad(arrays, metadata, folder):
    raise ValueError("no such\\nlayer")

def online(arrays, metadata, folder):
    socket.create_connection(("127.0.0.1", 9))

def broken(arrays, metadata, folder):
    (folder / "model.json").write_text("{")

def dying(arrays, metadata, folder):
    (folder / "model.npy").write_bytes(b"x")
    os.kill(os.getpid(), 9)

def ports(arrays, metadata, folder):
    return {"outputs": [{"name": "y"}]}
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app/inner").mkdir(parents=True)
    (tmp_path / "app/inner/export.py").write_text(APP)
    (tmp_path / "app/pyproject.toml").write_text('[tool.panal]\nexport = "inner.export:good"\n')
    install(tmp_path / "tools")
    (tmp_path / "results").mkdir()
    (tmp_path / "model").mkdir()
    stored(tmp_path / "model", {"w": np.ones((2, 3), dtype=np.float32)})
    (tmp_path / "model/metadata.json").write_text('{"model": {"round": 3}}')
    return tmp_path


def export(home: Path, function: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PANAL_MODEL": str(home / "model/model.safetensors"),
        "PANAL_METADATA": str(home / "model/metadata.json"),
        "PYTHONPATH": "",
    }
    program = [sys.executable, str(home / "tools/run.py"), "export", "run", function, str(home / "results")]
    return subprocess.run(program, env=env, cwd=home / "app", capture_output=True, text=True, check=False, timeout=120)


def test_the_function_gets_the_model_and_its_files_are_checked(app: Path) -> None:
    ended = export(app, "inner.export:good")
    assert ended.returncode == 0, ended.stderr
    report = json.loads((app / "results/report.json").read_text())
    assert report["function"] == "inner.export:good"
    assert report["checks"] == {
        "copy.npz": f"loaded by numpy {np.__version__}",
        "labels.txt": "Unchecked: panal knows no loader for .txt",
        "sub/sums.json": "parsed as JSON",
    }
    assert report["inputs"] == [{"name": "x", "type": "float32", "shape": [-1, 3]}]
    assert report["versions"]["numpy"] == np.__version__
    assert json.loads((app / "results/files/sub/sums.json").read_text()) == {"w": 6.0}
    assert (app / "results/files/labels.txt").read_text() == "3"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("inner.export:bad", "inner.export:bad raised ValueError: no such layer"),
        ("inner.export:missing", "inner.export:missing cannot be imported: AttributeError: "),
        ("other:good", "other:good cannot be imported: ModuleNotFoundError: No module named 'other'"),
        ("inner.export:online", "inner.export:online raised PermissionError: [Errno 13] Permission denied"),
        ("inner.export:broken", "model.json does not load: JSONDecodeError: "),
        ("inner.export:ports", "inner.export:ports returned outputs that are no list of the form "),
    ],
)
def test_the_last_line_says_what_is_wrong(function: str, said: str, app: Path) -> None:
    ended = export(app, function)
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith(said)
    assert not (app / "results/report.json").exists()


def test_a_function_that_is_killed_leaves_no_report(app: Path) -> None:
    assert export(app, "inner.export:dying").returncode == -9
    assert not (app / "results/report.json").exists()


def torch_archive(*members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in members:
            archive.writestr(member, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.pkl", b"x"),
        ("model.joblib", b"x"),
        ("model.bin", pickle.dumps({"a": [1, 2]})),
        ("model.onnx", pickle.dumps([1], protocol=2)),
        ("model.pt", torch_archive("archive/data.pkl", "archive/data/0")),
        ("model.zip", torch_archive("x/data.pkl", "x/code/y")),
        ("model.bin", pickle.dumps({"a": [1, 2]}, protocol=0)),
        ("model.bin", pickle.dumps(print, protocol=0) + b"and more"),
        ("model.bin", pickle.dumps(print, protocol=1)),
        ("model.bin", gzip.compress(pickle.dumps(print), mtime=0)),
        ("model.bin", zlib.compress(pickle.dumps([1], protocol=0))),
        ("model.bin", pickle.dumps([print, bytes(LOOKED_AT)])),
        ("model.bin", zlib.compress(pickle.dumps(bytes(2 * LOOKED_AT)))),
        ("model.bin", pickle.dumps(print)[:-1] + bytes(range(256))),
    ],
)
def test_pickles_are_refused_whatever_they_are_called(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RefusedError, match="is a pickle, which runs code when it is loaded: write ONNX"):
        check(tmp_path / name, tmp_path / "model.safetensors", {})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.bin", b"\x80\x04 no pickle", "Unchecked: panal knows no loader for .bin"),
        ("model.onnx", b"x", "Unchecked: the image has neither onnxruntime nor onnx"),
        ("model.ubj", b"x", "Unchecked: the image has no xgboost"),
        ("model.json", b'{"learner": {}}', "parsed as JSON; the image has no xgboost to load it"),
        ("model.pt", torch_archive("m/data.pkl", "m/code/__torch__.py"), "Unchecked: the image has no torch"),
        ("model.bin", gzip.compress(b"no pickle", mtime=0), "Unchecked: panal knows no loader for .bin"),
        ("LICENSE", b"N. N., 2026", "Unchecked: panal knows no loader for a file without a suffix"),
        ("labels.csv", b"class 1,2\n0,1\n.5,1\n", "Unchecked: panal knows no loader for .csv"),
        ("LICENSE", b"x", "Unchecked: panal knows no loader for a file without a suffix"),
    ],
)
def test_a_file_that_nothing_has_loaded_is_unchecked(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert check(tmp_path / name, tmp_path / "model.safetensors", {}) == {"check": said}
