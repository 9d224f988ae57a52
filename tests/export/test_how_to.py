"""docs/how-to/export-a-model.md: its helpers write models that give the same answers as the arrays did, with the real libraries.

Each test is an app with one helper of the page, exported as a Pod does it: by the pod tools, without network, and checked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from panal.pod.tools.install import install
from stored_models import stored

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/export-a-model.md").read_text()
HELPERS = {found[1]: found[0] for found in re.findall(r"^```python\n(# (.*?)\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)}
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((5, 4)).astype(np.float32)


def exported(python: Path, home: Path, arrays: Mapping[str, np.ndarray], app: str) -> dict:
    """The report of the export by `app`, a module with a function `export`."""
    for each in ("app", "model", "results"):
        (home / each).mkdir()
    (home / "app/exporting.py").write_text(app)
    stored(home / "model", arrays)
    install(home / "tools")
    env = {**os.environ, "PANAL_MODEL": str(home / "model/model.safetensors"), "PANAL_METADATA": "", "HOME": str(home)}
    (home / "model/metadata.json").write_text('{"run": {"namespace": "ns", "name": "digits"}}')
    env["PANAL_METADATA"] = str(home / "model/metadata.json")
    command = [str(python), str(home / "tools/run.py"), "export", "run", "exporting:export", str(home / "results")]
    ended = subprocess.run(command, cwd=home / "app", env=env, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return json.loads((home / "results/report.json").read_text())


def answers(python: Path, file: Path, x: np.ndarray = X) -> list[np.ndarray]:
    """The outputs of an ONNX file."""
    np.save(file.with_suffix(".x.npy"), x)
    code = """
    import sys, numpy, onnxruntime
    session = onnxruntime.InferenceSession(sys.argv[1])
    found = session.run(None, {session.get_inputs()[0].name: numpy.load(sys.argv[2])})
    numpy.savez(sys.argv[3], *found)
    """
    target = file.with_suffix(".npz")
    subprocess.run([python, "-c", dedent(code), file, file.with_suffix(".x.npy"), target], check=True, timeout=120)
    with np.load(target) as found:
        return [found[name] for name in found.files]


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_page_has_these_helpers() -> None:
    assert sorted(HELPERS) == [
        "PyTorch to ONNX", "PyTorch to TorchScript", "XGBoost to ONNX", "numpy to ONNX", "scikit-learn to ONNX",
    ]  # fmt: skip


DENSE = {
    "w1": RANDOM.standard_normal((4, 6)).astype(np.float32),
    "b1": RANDOM.standard_normal(6).astype(np.float32),
    "w2": np.asfortranarray(RANDOM.standard_normal((6, 3)).astype(np.float32)),
    "b2": RANDOM.standard_normal(3).astype(np.float32),
}


def test_a_network_in_numpy(python: Path, tmp_path: Path) -> None:
    call = """
    def export(arrays, metadata, folder):
        dense_to_onnx(arrays, [("w1", "b1"), ("w2", "b2")], folder / "model.onnx")
    """
    report = exported(python, tmp_path, DENSE, HELPERS["numpy to ONNX"] + dedent(call))
    assert report["checks"]["model.onnx"].startswith("loaded by onnxruntime ")
    assert report["inputs"] == [{"name": "x", "type": "float32", "shape": [-1, 4]}]
    assert report["outputs"] == [{"name": "probability", "type": "float32", "shape": [-1, 3]}]
    (found,) = answers(python, tmp_path / "results/files/model.onnx")
    wanted = softmax(np.maximum(X @ DENSE["w1"] + DENSE["b1"], 0) @ DENSE["w2"] + DENSE["b2"])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_example(python: Path, tmp_path: Path) -> None:
    shapes = {"hidden.weight": (784, 64), "hidden.bias": (64,), "output.weight": (64, 10), "output.bias": (10,)}
    arrays = {name: (RANDOM.standard_normal(shape) / 10).astype(np.float32) for name, shape in shapes.items()}
    shutil.copytree(ROOT / "examples/mnist/mnist_app", tmp_path / "mnist_app")
    app = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom mnist_app.export import onnx as export\n"
    report = exported(python, tmp_path, arrays, app)
    assert report["inputs"] == [{"name": "image", "type": "float32", "shape": [-1, 784]}]
    images = RANDOM.random((7, 784), dtype=np.float32)
    (found,) = answers(python, tmp_path / "results/files/model.onnx", images)
    hidden = np.maximum(images @ arrays["hidden.weight"] + arrays["hidden.bias"], 0)
    np.testing.assert_allclose(found, softmax(hidden @ arrays["output.weight"] + arrays["output.bias"]), rtol=1e-4)


def test_scikit_learn(python: Path, tmp_path: Path) -> None:
    arrays = {"coef": np.asfortranarray(RANDOM.standard_normal((3, 4))), "intercept": RANDOM.standard_normal(3)}
    call = """
    def export(arrays, metadata, folder):
        logistic_to_onnx(arrays, [0, 1, 2], folder / "model.onnx")
    """
    report = exported(python, tmp_path, arrays, HELPERS["scikit-learn to ONNX"] + dedent(call))
    assert [each["name"] for each in report["outputs"]] == ["label", "probabilities"]
    label, probabilities = answers(python, tmp_path / "results/files/model.onnx")
    wanted = softmax(X @ arrays["coef"].T + arrays["intercept"])
    np.testing.assert_allclose(probabilities, wanted, rtol=1e-4)
    assert label.tolist() == wanted.argmax(axis=1).tolist()


NETWORK = """
def network():
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
"""
STATE = {"0.weight": DENSE["w1"].T, "0.bias": DENSE["b1"], "2.weight": DENSE["w2"].T, "2.bias": DENSE["b2"]}
SCORES = np.maximum(X @ DENSE["w1"] + DENSE["b1"], 0) @ DENSE["w2"] + DENSE["b2"]


@pytest.fixture
def torch(python: Path) -> None:
    if subprocess.run([python, "-c", "import torch, onnxscript"], capture_output=True, check=False).returncode:
        pytest.skip("PyTorch and onnxscript are not in the environment of the exports")


@pytest.mark.usefixtures("torch")
def test_pytorch_to_onnx(python: Path, tmp_path: Path) -> None:
    call = """
    def export(arrays, metadata, folder):
        torch_to_onnx(arrays, network(), torch.zeros(2, 4), folder / "model.onnx")
    """
    report = exported(python, tmp_path, STATE, HELPERS["PyTorch to ONNX"] + NETWORK + dedent(call))
    assert report["inputs"] == [{"name": "x", "type": "float32", "shape": [-1, 4]}]
    np.testing.assert_allclose(answers(python, tmp_path / "results/files/model.onnx")[0], SCORES, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("torch")
def test_pytorch_to_torchscript(python: Path, tmp_path: Path) -> None:
    call = """
    def export(arrays, metadata, folder):
        torch_to_torchscript(arrays, network(), torch.zeros(2, 4), folder / "model.pt")
    """
    report = exported(python, tmp_path, STATE, HELPERS["PyTorch to TorchScript"] + NETWORK + dedent(call))
    assert report["checks"]["model.pt"].startswith("loaded by torch ")


@pytest.mark.usefixtures("torch")
def test_what_torch_save_writes_is_refused(python: Path, tmp_path: Path) -> None:
    app = "import torch\ndef export(arrays, metadata, folder):\n    torch.save({'a': torch.zeros(1)}, folder / 'model.pt')\n"
    with pytest.raises(AssertionError, match=r"model\.pt is a pickle, which runs code when it is loaded"):
        exported(python, tmp_path, DENSE, app)


def test_xgboost(python: Path, tmp_path: Path) -> None:
    train = """
    import sys, numpy, xgboost
    x = numpy.load(sys.argv[1])
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, xgboost.DMatrix(x, x[:, 0] > 0), 5)
    numpy.save(sys.argv[2], numpy.frombuffer(booster.save_raw("json"), dtype=numpy.uint8))
    numpy.save(sys.argv[3], booster.predict(xgboost.DMatrix(x)))
    """
    x = RANDOM.standard_normal((50, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    names = [tmp_path / f"{each}.npy" for each in ("x", "booster", "wanted")]
    subprocess.run([python, "-c", dedent(train), *names], check=True, timeout=120)
    call = """
    def export(arrays, metadata, folder):
        booster_to_onnx(arrays, folder)
    """
    report = exported(python, tmp_path, {"0": np.load(names[1])}, HELPERS["XGBoost to ONNX"] + dedent(call))
    assert report["checks"]["model.json"].startswith("loaded by xgboost ")
    assert report["checks"]["model.json"].endswith(", 5 rounds")
    _, probabilities = answers(python, tmp_path / "results/files/model.onnx", x)
    np.testing.assert_allclose(probabilities[:, 1], np.load(names[2]), rtol=1e-4)
