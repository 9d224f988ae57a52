"""The notebooks as they are kept: without outputs, and with one cell that says what they read. `make test-notebooks` executes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(
    path for place in ("src", "examples", "docs") for path in (ROOT / place).rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
HERE = ROOT / "examples/mnist/notebooks"
JUPYTER = list(yaml.safe_load_all((HERE / "jupyter.yaml").read_text()))
LONGEST = 30  # lines of a cell


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["cells"]


def test_the_notebooks_are_found() -> None:
    examples = {path.parents[1].name for path in NOTEBOOKS if path.is_relative_to(ROOT / "examples") and path.name == "validate.ipynb"}
    assert examples == {"mnist", "health", "retail", "industry", "vehicles"}
    assert [path.name for path in NOTEBOOKS if path.is_relative_to(ROOT / "src")] == ["model.ipynb"]
    assert (ROOT / "examples/mnist/notebooks/prototype.ipynb") in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert all(cell["metadata"].keys() <= {"tags"} for cell in cells(path))
    assert json.loads(path.read_text())["metadata"].keys() == {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in cells(path)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_only_the_cell_with_the_parameters_reads_the_environment(path: Path) -> None:
    reading = [cell for cell in cells(path) if "environ" in "".join(cell["source"])]
    assert [cell["metadata"] for cell in reading] == [{"tags": ["parameters"]}]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_cells_are_short_and_only_a_prototype_imports_panal(path: Path) -> None:
    """A notebook that validates a model is executed where panal is not."""
    for cell in cells(path):
        assert len(cell["source"]) <= LONGEST, cell["id"]
        assert path.name == "prototype.ipynb" or not any(
            line.split()[:2] in (["import", "panal"], ["from", "panal"]) for line in cell["source"]
        )


def test_the_jupyter_on_a_hub_may_do_as_little_as_it_can() -> None:
    """It cannot change a model, has no credentials, accepts no connection but from its own Pod, and makes none."""
    deployment, policy = JUPYTER
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert {volume["name"]: volume.get("persistentVolumeClaim") for volume in pod["volumes"]}["models"] == {
        "claimName": "models",
        "readOnly": True,
    }
    assert next(mount for mount in container["volumeMounts"] if mount["name"] == "models")["readOnly"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "--ServerApp.ip=127.0.0.1" in container["args"][-1]
    (token,) = [each for each in container["env"] if each["name"] == "JUPYTER_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "jupyter", "key": "token"}
    assert policy["spec"] == {
        "podSelector": {"matchLabels": deployment["spec"]["selector"]["matchLabels"]},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_the_image_has_what_the_notebook_imports() -> None:
    text = (HERE / "Containerfile").read_text()
    for name in ("compare.py", "split.py", "mnist8k.npz", "pyproject.toml", "mnist_app", "notebooks/validate.ipynb"):
        assert name in text, name
        assert (HERE.parent / name).exists()
