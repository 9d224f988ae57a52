"""`spec.validation` on the local platform: a Job executes a notebook on the model of a real run, and its findings become the status."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from waiting import eventually

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
PROJECT = """
[project]
name = "validate"
version = "1"
dependencies = ["ipykernel", "matplotlib", "nbclient", "nbconvert", "numpy"]
"""
CHANGING = """
import os
from pathlib import Path
from IPython.display import display

model = Path(os.environ["PANAL_MODEL"])
display({"application/vnd.panal.metrics+json": {"size": model.stat().st_size, "loss": float("nan")}}, raw=True)
model.write_bytes(b"mine")  # a copy
assert model.stat().st_size > 100, "the model is too small"
"""


def notebook(code: str) -> str:
    cell = {"id": "a", "cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": code}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def resource(name: str, **validation: object) -> str:
    server = {"image": "app/myapp:1", "rounds": 1, "minAvailableClients": 1, "storage": {"name": "models"}}
    client = {"image": "app/myapp:1", "dataClaim": "None", "placement": {"clusterSets": ["default"]}}
    return yaml.safe_dump(
        {
            "apiVersion": "federation-ai.open-cluster-management.io/v1alpha1",
            "kind": "FederatedLearning",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"framework": "flower", "server": server, "client": client, "validation": {"image": "validate:1", **validation}},
        }
    )


@pytest.fixture(scope="module")
def platform(home):
    """A platform with the image of an app and an image with notebooks."""
    home.panal("new", "myapp")
    settings = home.work / "myapp/pyproject.toml"
    settings.write_text(settings.read_text().replace("min-available-nodes = 3", "min-available-nodes = 1"))
    folder = home.work / "validate"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    shutil.copy(ROOT / "requirements/notebook.txt", folder / "requirements.txt")
    shutil.copy(ROOT / "src/panal/cli/notebooks/model.ipynb", folder / "notebooks/validate.ipynb")
    (folder / "notebooks/changing.ipynb").write_text(notebook(CHANGING))
    home.panal("up", "--clusters", "1")
    home.panal("image", "build", "myapp", "-t", "app/myapp:1")
    home.panal("image", "build", "validate", "-t", "validate:1")
    return home


def validated(home, name: str, **validation: object) -> dict:
    """The status of a run, after its validation."""
    (home.work / f"{name}.yaml").write_text(resource(name, **validation))
    home.panal("run", "-f", f"{name}.yaml")

    def ended() -> dict | None:
        status = home.json("get", name)["status"]
        return status if condition(status)["status"] != "Unknown" else None

    return eventually(ended, f"the model of {name} is validated", 120)


def condition(status: dict) -> dict:
    return next((c for c in status["conditions"] if c["type"] == "Validated"), {"status": "Unknown"})


def stored(home, name: str, file: str) -> bytes:
    home.panal("models", "download", name, "--file", file, "--to", f"{name}.{Path(file).name}")
    return (home.work / f"{name}.{Path(file).name}").read_bytes()


def test_the_findings_of_the_notebook_are_in_the_status_and_beside_the_model(platform):
    status = validated(platform, "good")
    assert status["phase"] == "Completed"
    assert (condition(status)["status"], condition(status)["reason"]) == ("True", "Validated"), condition(status)
    metrics = status["validation"]["metrics"]
    assert (metrics["arrays"], metrics["numbers"], metrics["rounds"], metrics["clusters"]) == (2, 12, 1, 1)
    assert metrics["accuracy"] == pytest.approx(status["metrics"]["accuracy"])
    assert status["validation"]["report"] == status["model"]["uri"].replace("model.safetensors", "validation/report.html")
    assert json.loads(stored(platform, "good", "validation/metrics.json")) == metrics
    assert b"cluster1" in stored(platform, "good", "validation/report.html")


def test_a_notebook_that_fails_and_would_change_the_model_does_not(platform):
    status = validated(platform, "bad", notebook="notebooks/changing.ipynb")
    assert status["phase"] == "Completed"
    assert (condition(status)["status"], condition(status)["reason"]) == ("False", "NotebookFailed"), condition(status)
    assert "AssertionError: the model is too small" in condition(status)["message"] or "Read-only" in condition(status)["message"]
    assert status["validation"]["nonFiniteMetrics"] == {"loss": "NaN"}
    assert status["validation"]["metrics"] == {"size": status["model"]["size"]}
    platform.panal("models", "download", "bad", "--to", "bad.safetensors")
    content = (platform.work / "bad.safetensors").read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == status["model"]["digest"]
    assert b"AssertionError" in stored(platform, "bad", "validation/report.html")


def test_an_image_without_what_it_needs_is_named(platform):
    status = validated(platform, "without", image="app/myapp:1")
    assert status["phase"] == "Completed"
    assert (condition(status)["status"], condition(status)["reason"]) == ("False", "ValidationFailed")
    assert "install nbclient nbconvert ipykernel" in condition(status)["message"]
    assert "validation" not in status
