"""The example's prototype notebook, executed on the platform by a real Jupyter (`make test-notebooks`), and its numbers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from panal.api.executed import metrics, read

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "examples/mnist/notebooks/prototype.ipynb"
JUPYTER = ROOT / ".cache/prototype"
PROGRAM = ROOT / "src/panal/pod/tools/notebook/execute.py"

pytestmark = pytest.mark.skipif(not (JUPYTER / ".ready").exists(), reason="there is no Jupyter with panal: `make .cache/prototype/.ready`")


def test_the_simulation_the_run_and_its_model_agree(home):
    made, report = home.work / "executed.ipynb", home.work / "report.html"
    env = home.env | {"PANAL_APP": str(ROOT / "examples/mnist"), "OPENBLAS_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    words = [JUPYTER / "bin/python", PROGRAM, NOTEBOOK, made, report, "0", "600"]
    done = subprocess.run(words, cwd=home.work, env=env | {"PANAL_ROUNDS": "2"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = {cell["id"]: cell.get("outputs", []) for cell in json.loads(made.read_text())["cells"]}
    failed = [output for outputs in cells.values() for output in outputs if output["output_type"] == "error"]
    assert not failed, "\n".join(failed[0]["traceback"])
    found = metrics(read(made.read_bytes()))
    assert (found["rounds"], found["clusters"]) == (2, 3)
    assert found["accuracy"] == pytest.approx(found["accuracy-simulated"], abs=0.005)
    assert found["accuracy"] == pytest.approx(0.925, abs=0.01)
    assert found["accuracy-slice"] < 0.85 < found["accuracy"], "the federated model is better than that of a slice of one site"
    (shown,) = [output for output in cells["start"] if output["output_type"] == "display_data"]
    html = "".join(shown["data"]["text/html"])
    assert re.search(r"<b>mnist-app-1</b> <b [^>]*>Completed</b> round 2/2, 3/3 clusters", html)
    assert html.count("<svg") == 4
    assert "<script" not in html
    status = home.json("get", "mnist-app-1")["status"]
    assert status["model"]["digest"] in "".join(cells["load"][0]["text"])
