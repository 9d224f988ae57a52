"""What the Job of a publication has before it: a model with its export, and what the controller says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from panal.api.export import Listing
from panal.pod.run_folder import digest_of
from stored_models import stored

# y = 2 x + 1, from x (n, 1) to y (n, 1), as the onnx package writes it (ir 8, opset 17)
GRAPH = Path(__file__).parents[1] / "mlflow/line.onnx"
DIGEST = f"sha256:{'a' * 64}"
METADATA = {
    "model": {"round": 3},
    "metrics": {"accuracy": 0.9, "top@5": 0.99, "loss": "NaN"},
    "clusters": {"hospital-a": [1, 2, 3], "hospital-b": [2]},
    "app": {"fab_hash": "abc", "fab_version": "1.0.0"},
    "strategy": "FedAvg",
    "versions": {"flwr": "1.42.0"},
}


def exported(folder: Path) -> Path:
    """A model with its export, as the container `model` leaves it in `folder`."""
    (folder / "export").mkdir(parents=True)
    file = stored(folder, {"w": np.array([[2.0]], dtype=np.float32)})
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "export/model.onnx").write_bytes(GRAPH.read_bytes())
    (folder / "export/python_env.yaml").write_text("python: 2.7.0\n")
    names = ("model.onnx", "python_env.yaml")
    entries = [{"name": name, "size": 1, "digest": digest_of(folder / "export" / name), "check": "loaded"} for name in names]
    ports = {side: [{"name": name, "type": "float32", "shape": [-1, 1]}] for side, name in (("inputs", "x"), ("outputs", "y"))}
    listing = Listing.model_validate({"function": "app:export", "files": entries, "versions": {"onnx": "1.23.2"}, **ports})
    (folder / "export/export.json").write_text(listing.model_dump_json(by_alias=True))
    return file


def run_of(uid: str) -> dict[str, str]:
    return {"namespace": "team", "name": "digits", "uid": uid}


def content(uid: str, **servers: dict[str, Any]) -> dict[str, Any]:
    about = {"model.digest": DIGEST, "model.uri": "pvc://models/x/model.safetensors", "validated": "True", "image.server": "example/app:1"}
    return {"seconds": 200, "run": run_of(uid), "about": about, **servers}


def server(uri: str, name: str, **more: Any) -> dict[str, Any]:
    """What both kinds of servers have in common."""
    return {"uri": uri, "name": name, "secret": "", "bundle": "", "authorities": ""} | more


def variables(model: Path, said: dict[str, Any]) -> dict[str, str]:
    return {"PANAL_PUBLISH": json.dumps(said), "PANAL_MODEL": str(model)}
