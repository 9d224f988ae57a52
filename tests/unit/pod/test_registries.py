"""The folder that MLflow loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from panal.api.export import Listing
from panal.pod.registries.packing import packed


@pytest.mark.parametrize("graph", ["model.onnx", "graphs/line.onnx"])
def test_exported_files_are_below_a_folder_of_their_own(graph: str, tmp_path: Path) -> None:
    model, digest = tmp_path / "model.safetensors", f"sha256:{'a' * 64}"
    model.touch()
    (tmp_path / "export").mkdir()
    names = (graph, "python_env.yaml", "conda.yaml", "MLmodel", "requirements.txt", model.name)
    files = [{"name": name, "size": 1, "digest": digest, "check": ""} for name in names]
    listing = Listing.model_validate({"function": "app:export", "files": files})
    (tmp_path / "export/export.json").write_text(listing.model_dump_json(by_alias=True))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = packed(model, "run", scratch)
    assert {name for name in found if not name.startswith("export/")} == {"MLmodel", "requirements.txt", "model.safetensors"}
    assert {f"export/{name}" for name in names} <= found.keys()
    assert found["model.safetensors"] == model
    flavors = json.loads(found["MLmodel"].read_text())["flavors"]
    assert {each["data"] for each in flavors.values()} == {f"export/{graph}"}
    assert found[f"export/{graph}".rpartition("/")[0] + "/MLmodel"] == found["MLmodel"], "which mlflow.onnx reads"
