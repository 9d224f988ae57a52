"""A stored model as a folder that MLflow loads: the model, the exported files, and the file MLmodel, which describes them.

The exported files are in the folder `export`, because names such as conda.yaml have a meaning for MLflow at the top.

`mlflow.pyfunc.load_model` and MLflow's own server load a model that was exported to ONNX. Another form is only described. MLmodel is YAML;
JSON is YAML as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from panal.api.export import LIST, Listing, Port
from panal.api.history import FILE as HISTORY
from panal.api.names import EXPORT_FOLDER
from panal.pod.storing import METADATA

FOLDER = "panal-model"  # in the artifacts of MLflow's run
MLMODEL, REQUIREMENTS = "MLmodel", "requirements.txt"


def packed(model: Path, run: str, scratch: Path) -> dict[str, Path]:
    """The files by their path in the folder. `model` is the model's file, beside which the others are; `run` is the id of MLflow's run."""
    folder = model.parent
    listing = listed(folder)
    files = {name: folder / name for name in (model.name, METADATA, HISTORY) if (folder / name).is_file()}
    exported = {f"{EXPORT_FOLDER}/{each.name}": folder / EXPORT_FOLDER / each.name for each in (listing.files if listing else ())}
    graph = onnx_file([each.name for each in listing.files]) if listing else ""
    (scratch / MLMODEL).write_text(json.dumps(described(graph, listing, run), indent=1))
    (scratch / REQUIREMENTS).write_text("".join(f"{each}\n" for each in (("mlflow", "onnxruntime") if graph else ("mlflow",))))
    if graph:  # mlflow.onnx reads the file MLmodel beside the graph
        exported[str(PurePosixPath(EXPORT_FOLDER, graph).with_name(MLMODEL))] = scratch / MLMODEL
    return {**exported, **files, REQUIREMENTS: scratch / REQUIREMENTS, MLMODEL: scratch / MLMODEL}


def listed(folder: Path) -> Listing | None:
    """The exported files, if the folder with the model has them."""
    file = folder / EXPORT_FOLDER / LIST
    return Listing.model_validate_json(file.read_bytes()) if file.is_file() else None


def onnx_file(names: Sequence[str]) -> str:
    """The file that is loaded: `model.onnx`, or the only one of ONNX; empty if there is none."""
    found = [name for name in names if name.endswith(".onnx")]
    return next((name for name in found if name == "model.onnx"), found[0] if len(found) == 1 else "")


def described(graph: str, listing: Listing | None, run: str) -> dict[str, Any]:
    """The content of MLmodel."""
    flavors: dict[str, Any] = {}
    if graph and listing:
        data = f"{EXPORT_FOLDER}/{graph}"
        version = listing.versions.get("onnx", "")
        flavors["onnx"] = {"code": None, "data": data, "onnx_version": version, "providers": ["CPUExecutionProvider"]}
        flavors["python_function"] = {"loader_module": "mlflow.onnx", "data": data}
        if python := listing.versions.get("python"):
            flavors["python_function"]["python_version"] = python
    found = {
        "artifact_path": FOLDER,
        "flavors": flavors,
        "run_id": run,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    if listing and listing.inputs:
        outputs = json.dumps(_ports(listing.outputs)) if listing.outputs else None
        found["signature"] = {"inputs": json.dumps(_ports(listing.inputs)), "outputs": outputs, "params": None}
    return found


def _ports(ports: Sequence[Port]) -> list[dict[str, Any]]:
    return [{"type": "tensor", "name": each.name, "tensor-spec": {"dtype": each.type, "shape": each.shape}} for each in ports]
