"""The notebooks, executed by `panal notebook --execute` with a real Jupyter (`make test-notebooks`), and their numbers."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from panal.cli import notebook as notebooks
from panal.cli.notebook import Wanted
from panal.client.problem import Code, Problem
from panal.kube.execution import ProgramFailed
from stored import Access, Hub, job, run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/mnist"
JUPYTER = ROOT / ".cache/notebook"
PYTHON = JUPYTER / "bin/python"
LOADED = re.compile(r"""(?:src|import)\s*[=(]\s*["'](?:https?:)?//|<link[^>]+href=["'](?:https?:)?//|@import""")

pytestmark = pytest.mark.skipif(not (JUPYTER / ".ready").exists(), reason="there is no Jupyter: `make .cache/notebook/.ready`")


class Stored(Hub):
    """`files` are those of the run's folder."""

    def __init__(self, *objects, files):
        super().__init__(*objects)
        self.files = files

    async def execute(self, namespace, pod, container, command):
        if command[-1] not in self.files:
            raise ProgramFailed(f"the storage has no {command[-1]} of this run")
        yield self.files[command[-1]]


def history(*rounds):
    return "\n".join(json.dumps(row) for row in ({"version": 1, "run": {}}, *rounds)).encode()


def executed(to, model, files=None, **wanted):
    """The exit code, after which `to` has the files."""
    digest = f"sha256:{hashlib.sha256(model).hexdigest()}"
    client = Stored(run(digest=digest), job(), files={"model.safetensors": model, **(files or {})})
    return notebooks.notebook(Access({"hub": client}), "digits", None, Wanted(target=to, python=PYTHON, execute=True, **wanted))


def numbers(to):
    return json.loads((to / "metrics.json").read_text())


@pytest.fixture(scope="module")
def example():
    """The functions of examples/mnist."""
    sys.path.insert(0, str(EXAMPLE))
    import compare
    import split

    yield compare, split
    sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def trained(example, tmp_path_factory):
    """A model of one epoch on the digits of two clusters, and its accuracies as compare.py computes them."""
    compare, split = example
    folder = tmp_path_factory.mktemp("digits")
    split.split(folder)
    (folder / "cluster3/train.npz").unlink()
    model = compare.central(folder, 1, 0.05)
    return model, compare.accuracies(model, folder)


def test_the_numbers_of_the_examples_notebook_are_those_of_compare(trained, tmp_path, capsys):
    model, expected = trained
    rounds = history(
        {"round": 1, "metrics": {"accuracy": expected[0], "loss": 0.5}, "clusters": {"cluster1": {"metrics": {"train-loss": "NaN"}}}}
    )
    assert executed(tmp_path, save(model), {"history.jsonl": rounds}, app=EXAMPLE) == Code.OK
    found = numbers(tmp_path)
    assert [found["accuracy"], *(found[f"accuracy-of-{digit}"] for digit in range(10))] == pytest.approx(expected)
    assert found["digits"] == 1500
    assert found["wrong"] == round((1 - expected[0]) * 1500)
    assert found["accuracy-central"] > expected[0]  # three times as many epochs, and all digits
    assert f"accuracy-central  {found['accuracy-central']:.4g}" in capsys.readouterr().out
    report = (tmp_path / "validate.html").read_text()
    assert len(re.findall(r'<img[^>]+src="data:image/png;base64,', report)) == 4
    assert "with cluster1" in report
    assert not LOADED.search(report), "the report loads something from elsewhere"


def test_a_model_that_is_not_the_one_that_the_run_reported_fails(trained, tmp_path):
    model, _ = trained
    rounds = history({"round": 1, "metrics": {"accuracy": 0.99}})
    with pytest.raises(Problem, match=r"validate.ipynb, cell 7 .*the run reported the accuracy 0.9900, and this model has") as found:
        executed(tmp_path, save(model), {"history.jsonl": rounds}, app=EXAMPLE)
    assert found.value.code == Code.NOTEBOOK
    assert "AssertionError" in (tmp_path / "validate.html").read_text()
    assert numbers(tmp_path) == {}


MODEL = save({"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7), "none": np.zeros((0, 4), np.float16)})


def test_the_general_notebook_describes_any_model_and_its_run(tmp_path):
    rounds = history(
        {
            "round": 1,
            "metrics": {"loss": 2.0},
            "clusters": {"a": {"seconds": 1.0, "metrics": {"f1": 0.5}, "received": 1000}, "b": {"reason": "NoReply"}},
        },
        {
            "round": 2,
            "metrics": {"loss": "NaN"},
            "clusters": {"a": {"seconds": 3.0, "metrics": {"f1": 0.7}, "received": 2000}, "b": {"seconds": 9.0}},
        },
        {"round": 3, "complete": False, "metrics": {}},
    )
    metadata = {"run": {"namespace": "ns", "name": "digits"}, "versions": {"flwr": "1.42.0"}}
    assert executed(tmp_path, MODEL, {"history.jsonl": rounds, "metadata.json": json.dumps(metadata).encode()}) == Code.OK
    assert numbers(tmp_path) == {"arrays": 3, "clusters": 2, "loss": "NaN", "numbers": 7, "rounds": 2}
    made = json.loads((tmp_path / "model.executed.ipynb").read_text())
    text = "".join(
        "".join(output["data"].get("text/markdown", "")) for cell in made["cells"] for output in cell.get("outputs", ()) if "data" in output
    )
    assert "| `layer.weight` | F32 | 2 × 3 | 0 | 2.5 | 5 |  |" in text
    assert "| `steps` | I64 |  | 7 | 7 | 7 |  |" in text
    assert "| a | 2 of 2 |  | 2.00 s | 3,000 | 0 |" in text
    assert "| b | 1 of 2 | 1 NoReply | 9.00 s | 0 | 0 |" in text
    assert "| run | `ns/digits` |" in text


def test_the_general_notebook_refuses_a_model_that_has_diverged(tmp_path):
    with pytest.raises(Problem, match="2 numbers of the model are NaN or infinite"):
        executed(tmp_path, save({"a": np.array([1, np.nan, np.inf], np.float32)}))


@pytest.mark.parametrize(
    ("code", "options", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", {}, "DeadKernelError: its kernel died"),
        ("while True: pass", {"cell_timeout": 2}, "CellTimeoutError: it took more than 2 s"),
        ("import panal_is_not_here", {}, "ModuleNotFoundError: No module named 'panal_is_not_here'"),
    ],
)
def test_a_cell_that_fails_is_named_and_the_next_ones_are_not_executed(code, options, error, tmp_path):
    mine = tmp_path / "mine.ipynb"
    cells = [
        {"cell_type": "markdown", "source": "# Title"},
        *({"cell_type": "code", "source": text} for text in ("print(1)", code, "print(3)")),
    ]
    filled = [
        {"id": f"c{n}", "metadata": {}, **({"outputs": [], "execution_count": None} if n else {}), **cell} for n, cell in enumerate(cells)
    ]
    kernel = {"name": "of-another-machine", "display_name": "Mine", "language": "python"}
    mine.write_text(json.dumps({"cells": filled, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}))
    with pytest.raises(Problem) as found:
        executed(tmp_path / "to", MODEL, notebook=mine, **options)
    assert str(found.value).startswith(f"mine.ipynb, cell 2 ({code}): {error}")
    outputs = [cell["outputs"] for cell in json.loads((tmp_path / "to/mine.executed.ipynb").read_text())["cells"][1:]]
    assert [bool(each) for each in outputs] == [True, True, False]
    assert error.partition(":")[0] in (tmp_path / "to/mine.html").read_text()
    assert json.loads(mine.read_text())["cells"][1]["outputs"] == []


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "mine.ipynb").write_text("{}")
    with pytest.raises(Problem, match="could not be executed"):
        executed(tmp_path / "to", MODEL, notebook=tmp_path / "mine.ipynb")
