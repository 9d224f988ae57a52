"""The export of a model on the local platform: a function of the app writes the model of a real run in other forms."""

from __future__ import annotations

import hashlib
import json

import pytest
import yaml

from waiting import eventually

pytestmark = pytest.mark.long

EXPORT = """
import json, socket
import numpy as np

def forms(arrays, metadata, folder):
    assert all(array.flags.c_contiguous for array in arrays.values())
    np.savez(folder / "arrays.npz", **arrays)
    (folder / "about.json").write_text(json.dumps({"round": metadata["model"]["round"], "names": list(arrays)}))
    try:
        socket.create_connection(("127.0.0.1", 1))
    except PermissionError:
        (folder / "network.txt").write_text("none")
    return {"inputs": [{"name": "x", "type": "float64", "shape": [-1, 2]}]}

def failing(arrays, metadata, folder):
    (folder / "model.pkl").write_bytes(b"x")
"""


@pytest.fixture(scope="module")
def platform(home):
    """A platform with two images of an app, which differ in the function that they name."""
    home.panal("new", "myapp")
    settings = home.work / "myapp/pyproject.toml"
    text = settings.read_text().replace("min-available-nodes = 2", "min-available-nodes = 1")
    (home.work / "myapp/exporting.py").write_text(EXPORT)
    home.panal("up", "--clusters", "1")
    for function in ("forms", "failing"):
        settings.write_text(f'{text}\n[tool.panal]\nexport = "exporting:{function}"\n')
        home.panal("image", "build", "myapp", "-t", f"app/{function}:1")
    return home


def exported(home, name: str) -> dict:
    """The status of a run, after its export."""
    image = f"app/{name}:1"
    server = {"image": image, "rounds": 1, "minAvailableClients": 1, "storage": {"name": "models"}}
    client = {"image": image, "dataClaim": "None", "placement": {"clusterSets": ["default"]}}
    resource = {
        "apiVersion": "federation-ai.open-cluster-management.io/v1alpha1",
        "kind": "FederatedLearning",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"framework": "flower", "server": server, "client": client},
    }
    (home.work / f"{name}.yaml").write_text(yaml.safe_dump(resource))
    home.panal("run", "-f", f"{name}.yaml")

    def ended() -> dict | None:
        status = home.json("get", name)["status"]
        return status if condition(status)["status"] != "Unknown" else None

    return eventually(ended, f"the model of {name} is exported", 120)


def condition(status: dict) -> dict:
    return next((c for c in status["conditions"] if c["type"] == "Exported"), {"status": "Unknown"})


def test_what_the_function_has_written_is_beside_the_model(platform):
    status = exported(platform, "forms")
    assert (status["phase"], status["model"]["export"]) == ("Completed", "exporting:forms")
    assert condition(status)["status"] == "True", condition(status)
    found = {each["name"]: each for each in status["export"]["files"]}
    assert found.keys() == {"about.json", "arrays.npz", "network.txt"}
    assert found["arrays.npz"]["check"].startswith("loaded by numpy")
    assert found["about.json"]["check"] == "parsed as JSON"
    assert found["network.txt"]["check"] == "Unchecked: panal knows no loader for .txt"
    platform.panal("models", "download", "forms", "--file", "export/about.json", "--to", "about.json")
    content = (platform.work / "about.json").read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == found["about.json"]["digest"]
    assert json.loads(content)["round"] == 1
    platform.panal("models", "download", "forms", "--file", "export/export.json", "--to", "export.json")
    listed = json.loads((platform.work / "export.json").read_bytes())
    assert listed["inputs"] == [{"name": "x", "type": "float64", "shape": [-1, 2]}]
    shown = platform.panal("models", "show", "forms")
    assert "arrays.npz" in shown


def test_a_pickle_is_refused_and_the_model_stays(platform):
    status = exported(platform, "failing")
    assert (status["phase"], condition(status)["status"], condition(status)["reason"]) == ("Completed", "False", "ExportFailed")
    assert "model.pkl is a pickle, which runs code when it is loaded" in condition(status)["message"]
    assert "export" not in status
    platform.panal("models", "download", "failing", "--to", "failing.safetensors")
    content = (platform.work / "failing.safetensors").read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == status["model"]["digest"]
