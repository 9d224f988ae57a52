"""The reporter brings the model with which a run begins."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from panal.pod import tensors
from panal.pod.initial_model import InitialModel, InitialModelError, kept

ARRAYS = {
    "layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "steps": np.array(7),
    "trees": np.frombuffer(b"{trees}", np.uint8),
    "empty": np.zeros((0, 2), np.float16),
    "mask": np.array([True, False]),
}


def model(folder: Path, name: str = "model.safetensors", **more: Any) -> InitialModel:
    content = {"run": "", "uri": f"pvc://claim/{name}", "digest": "", "path": name} | more
    found = InitialModel.read({"PANAL_INITIAL_MODEL": json.dumps(content), "PANAL_INITIAL_DIR": str(folder)})
    assert found is not None
    return found


def brought(tmp_path: Path, wanted: InitialModel) -> tuple[dict[str, np.ndarray[Any, Any]], str]:
    """The arrays in the run's folder, and the digest of the status."""
    run_dir, place = tmp_path / "run", tmp_path / "place"
    status = wanted.bring(run_dir, place, {}, lambda: None)
    assert kept(place) == status
    assert sorted(each.name for each in (run_dir / "initial").iterdir()) == ["model.json", "model.npz"]
    assert not list(run_dir.glob(".*"))
    names = json.loads((run_dir / "initial/model.json").read_text())["arrays"]
    with np.load(run_dir / "initial/model.npz", allow_pickle=False) as archive:
        return {name: archive[f"{index}"] for index, name in enumerate(names)}, status.digest


def test_a_safetensors_file_arrives_with_all_its_arrays(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "model.safetensors")
    digest = f"sha256:{hashlib.sha256((tmp_path / 'model.safetensors').read_bytes()).hexdigest()}"
    found, said = brought(tmp_path, model(tmp_path, digest=digest))
    assert said == digest
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)


def test_a_model_that_safetensors_cannot_hold_arrives_with_the_names_beside_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", **{"0": np.array([1j]), "1": np.zeros(2)})
    (tmp_path / "metadata.json").write_text(json.dumps({"arrays": ["fourier", "w"]}))
    found, _ = brought(tmp_path, model(tmp_path, "model.npz"))
    assert found["fourier"].tolist() == [1j]
    (tmp_path / "metadata.json").write_text(json.dumps({"arrays": ["fourier"]}))
    with pytest.raises(InitialModelError, match="2 arrays, and 1 names"):
        brought(tmp_path, model(tmp_path, "model.npz"))
    (tmp_path / "metadata.json").unlink()
    with pytest.raises(InitialModelError, match="names of the arrays, is not beside it"):
        brought(tmp_path, model(tmp_path, "model.npz"))


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", **{"0": np.array([{}], dtype=object)})
    (tmp_path / "metadata.json").write_text(json.dumps({"arrays": ["w"]}))
    with pytest.raises(InitialModelError, match="pickled objects"):
        brought(tmp_path, model(tmp_path, "model.npz"))
    assert not (tmp_path / "run/initial").exists()


def test_the_message_names_the_field_and_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InitialModelError, match=r"^spec.server.initialModel.uri: pvc://claim/model.safetensors does not exist$"):
        brought(tmp_path, model(tmp_path))
    with pytest.raises(InitialModelError, match=r"^spec.server.initialModel.run: before: its model does not exist any more$"):
        brought(tmp_path, model(tmp_path, run="before", uri="", path=""))
    save_file(ARRAYS, tmp_path / "model.safetensors")
    with pytest.raises(InitialModelError, match=r"has the digest sha256:[0-9a-f]{64}, and not sha256:other: it is another file"):
        brought(tmp_path, model(tmp_path, digest="sha256:other"))


def test_a_link_out_of_the_volume_is_not_followed(tmp_path: Path) -> None:
    secret, volume = tmp_path / "secret", tmp_path / "volume"
    secret.mkdir()
    volume.mkdir()
    save_file(ARRAYS, secret / "model.safetensors")
    (volume / "model.safetensors").symlink_to(secret / "model.safetensors")
    with pytest.raises(InitialModelError, match="leads out of the volume"):
        brought(tmp_path, model(volume))


def header(content: object, data: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        struct.pack("<Q", 2**62) + b"{}",
        header(b"not json"),
        header([]),
        header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(8)),
        header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
        header({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in ("v", "w")}, bytes(8)),
        header({f"w{at}": {"dtype": "F32", "shape": [2], "data_offsets": [at, at + 8]} for at in (0, 4)}, bytes(12)),
        header({f"w{at}": {"dtype": "F32", "shape": [1], "data_offsets": [at, at + 4]} for at in (0, 8)}, bytes(12)),
        header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(9)),
        header({"w": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}, bytes(8)),
        header({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        header({"w": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        header({"w": 7}),
        header(b"[" * 200_000),
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InitialModelError, match="is not a model"):
        brought(tmp_path, model(tmp_path))
    assert not (tmp_path / "run/initial").exists()


def test_what_was_unpacked_is_what_is_stored_again(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "one.safetensors")
    names = tensors.unpack(tmp_path / "one.safetensors", tmp_path / "model.npz")
    tensors.convert(tmp_path / "model.npz", names, tmp_path / "two.safetensors", {})
    assert tensors.unpack(tmp_path / "two.safetensors", tmp_path / "again.npz") == names
    assert (tmp_path / "again.npz").stat().st_size == (tmp_path / "model.npz").stat().st_size
