"""The example's prototype notebook, executed on the platform by a real Jupyter (`make test-notebooks`), and its numbers."""

from __future__ import annotations

import re

import pytest

from notebooks import PROTOTYPE, ROOT, execute

NOTEBOOK = ROOT / "examples/mnist/notebooks/prototype.ipynb"

pytestmark = pytest.mark.skipif(
    not (PROTOTYPE / ".ready").exists(), reason="there is no Jupyter with panal: `make .cache/prototype/.ready`"
)


def test_the_simulation_the_run_and_its_model_agree(home):
    env = home.env | {"PANAL_APP": str(ROOT / "examples/mnist"), "PANAL_ROUNDS": "2"}
    done = execute(PROTOTYPE / "bin/python", NOTEBOOK, home.work, env, 600)
    found = done.metrics
    assert (found["rounds"], found["clusters"]) == (2, 3)
    assert found["accuracy"] == pytest.approx(found["accuracy-simulated"], abs=0.005)
    assert found["accuracy"] == pytest.approx(0.925, abs=0.01)
    assert found["accuracy-slice"] < 0.85 < found["accuracy"], "the federated model is better than that of a slice of one site"
    (shown,) = [output for output in done.cells["start"] if output["output_type"] == "display_data"]
    html = "".join(shown["data"]["text/html"])
    assert re.search(r"<b>mnist-app-1</b> <b [^>]*>Completed</b> round 2/2, 3/3 clusters", html)
    assert html.count("<svg") == 4
    assert "<script" not in html
    status = home.json("get", "mnist-app-1")["status"]
    assert status["model"]["digest"] in "".join(done.cells["load"][0]["text"])
