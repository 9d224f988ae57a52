"""Storing a model: conversion from npz to safetensors, read back with the library, and failures of the volume."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from panal.pod.storing import Place, participated, store
from panal.pod.tensors import UnstorableError, convert
from panal.pod.tools.records import Round
from panal.pod.tools.tail import Tail

RUN = ("team", "digits", "uid-1")


def npz(path: Path, arrays: list[Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index, array in enumerate(arrays):
            with archive.open(f"{index}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return path


def test_every_type_and_order_survives_the_conversion(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "a/weight": rng.standard_normal((3, 5)).astype(np.float32), "scalar": np.array(7, np.int64), "empty": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False, True]), "half": rng.standard_normal(3).astype(np.float16), "double": rng.standard_normal(2),
        "fortran": np.asfortranarray(rng.standard_normal((4, 3))), "big endian": np.arange(5, dtype=">i4"),
        "bytes": np.arange(9, dtype=np.uint8), "größe": np.arange(3, dtype=np.uint16),
    }  # fmt: skip
    target = tmp_path / "model.safetensors"
    written = convert(npz(tmp_path / "m.npz", list(arrays.values())), list(arrays), target, {"round": "3"})
    found = load_file(target)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
    assert written.size == target.stat().st_size
    assert written.digest == "sha256:" + hashlib.sha256(target.read_bytes()).hexdigest()
    with safe_open(target, "numpy") as file:
        assert file.metadata() == {"round": "3"}


def test_a_type_that_safetensors_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnstorableError, match="'text' is of type <U3"):
        convert(npz(tmp_path / "m.npz", [np.array(["abc"])]), ["text"], tmp_path / "out", {})


def test_pickled_objects_are_stored_in_no_form(tmp_path: Path) -> None:
    """Not even beside an array for which the model would be stored as npz."""
    with (tmp_path / "m.npz").open("wb") as file:
        np.savez(file, **{"0": np.ones(2, complex), "1": np.array([{}])})
    model = {"arrays": ["complex", "pickled"], "round": 1, "start": 1}
    with pytest.raises(ValueError, match="array 'pickled' has pickled objects; only numbers can be stored"):
        store(tmp_path / "m.npz", model, Place.of(tmp_path / "volume", "pvc://models", "", RUN), {}, lambda: None)
    assert not [path for path in (tmp_path / "volume").rglob("*") if path.is_file()]


def test_a_large_model_needs_little_memory(tmp_path: Path) -> None:
    source = npz(tmp_path / "m.npz", [np.zeros((25_000_000,), np.float64)])  # 200 MB
    program = (
        "import sys; from pathlib import Path; from panal.pod.tensors import convert;"
        'convert(Path(sys.argv[1]), ["w"], Path(sys.argv[2]), {});'
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # ru_maxrss includes the parent's peak
    )
    done = subprocess.run([sys.executable, "-c", program, source, tmp_path / "out"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 120_000, "KiB"
    assert (tmp_path / "out").stat().st_size > 200_000_000
    (tmp_path / "out").unlink()
    source.unlink()


def test_model_and_metadata_are_stored_at_the_uri(tmp_path: Path) -> None:
    place = Place.of(tmp_path, "pvc://models", "/trained/", RUN)
    source = npz(tmp_path / "m.npz", [np.ones(2)])
    model = {"start": 1, "round": 3, "arrays": ["w"], "versions": {"flwr": "1.41.0"}}
    for _ in range(2):  # again, as after a restart
        status = store(source, model, place, {"clusters": {"a": [1, 3]}}, lambda: None)
    assert status.uri == "pvc://models/trained/team/digits/uid-1/model.safetensors"
    folder = tmp_path / "trained/team/digits/uid-1"
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["model"]["digest"] == status.digest
    assert metadata["clusters"] == {"a": [1, 3]}
    assert metadata["versions"].keys() == {"flwr", "panal"}
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "metadata.json"}


def test_each_start_keeps_its_model_and_storing_is_idempotent(tmp_path: Path) -> None:
    place = Place.of(tmp_path, "pvc://models", "", RUN)
    sources = {n: npz(tmp_path / f"{n}.npz", [np.full(1, n)]) for n in (1, 2, 3)}
    for n in (1, 2, 2, 3, 3):  # some of them again, as after a restart
        store(sources[n], {"start": n, "round": n, "arrays": ["w"]}, place, {"start": n}, lambda: None)
    found = {str(f.relative_to(place.folder)): load_file(f)["w"][0] for f in place.folder.rglob("*.safetensors")}
    assert found == {"model.safetensors": 3, "start-1/model.safetensors": 1, "start-2/model.safetensors": 2}
    assert json.loads((place.folder / "start-2/metadata.json").read_text())["start"] == 2


def test_unsupported_types_are_stored_as_npz(tmp_path: Path) -> None:
    place = Place.of(tmp_path, "pvc://models", "", RUN)
    source = npz(tmp_path / "m.npz", [np.array([1j])])
    status = store(source, {"start": 1, "round": 1, "arrays": ["fourier"]}, place, {}, lambda: None)
    assert status.uri.endswith("/model.npz")
    assert status.digest == "sha256:" + hashlib.sha256(source.read_bytes()).hexdigest()
    assert np.load(place.folder / "model.npz")["0"][0] == 1j
    assert json.loads((place.folder / "metadata.json").read_text())["arrays"] == ["fourier"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b'{"learner": {"gradient_booster": {}}, "version": [3, 0, 0]}', "model.json"),
        (b"{L\0\0\0\0\0\0\0\x07learner{", "model.ubj"),
        (b"CBM1\x10", "model.cbm"),
        (b'{\n  "features_info": {},\n  "model_info": {}, "oblivious_trees": []}', "model.json"),
        (b'{"model_info": {}, "weights": []}', ""),
        (b'{"learner": half', ""),
        (b'{"other": "learner"}', ""),
        (b"", ""),
        (b"\0\1\2", ""),
    ],
)
def test_booster_models_are_also_stored_as_files(content: bytes, name: str, tmp_path: Path) -> None:
    place = Place.of(tmp_path, "pvc://models", "", RUN)
    source = npz(tmp_path / "m.npz", [np.frombuffer(content, np.uint8)])
    store(source, {"start": 1, "round": 1, "arrays": ["0"]}, place, {}, lambda: None)
    assert {f.name for f in place.folder.iterdir()} == {"model.safetensors", "metadata.json", name} - {""}
    assert not name or (place.folder / name).read_bytes() == content
    assert json.loads((place.folder / "metadata.json").read_text())["modelFiles"] == [name] * bool(name)


def test_a_path_outside_the_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leads out of the volume"):
        Place.of(tmp_path, "pvc://models", "../other", RUN)


def test_a_full_volume_leaves_no_partial_model(tmp_path: Path) -> None:
    place = Place.of(tmp_path / "volume", "pvc://models", "", RUN)
    source = npz(tmp_path / "m.npz", [np.zeros(1_000_000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # a write beyond fails, as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            store(source, {"start": 1, "round": 1, "arrays": ["w"]}, place, {}, lambda: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(place.folder.iterdir())


def test_rounds_of_each_cluster_are_collected() -> None:
    def train(number: int, *clusters: str) -> Round:
        return Round(phase="train", round=number, collaborators={c: {} for c in clusters})

    rounds: dict[str, list[int]] = {}
    for record in (train(1, "b"), train(1, "a", "b"), train(2, "a")):
        participated(rounds, record)
    assert rounds == {"a": [1, 2], "b": [1]}


def test_tail_returns_each_complete_line_once(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    tail = Tail(file)
    assert tail.poll() == []
    file.write_bytes(b'{"a":1}\n{"b":')
    assert tail.poll() == [b'{"a":1}']
    with file.open("ab") as out:
        out.write(b'2}\nno json\n[1]\n{"c":3}\n')
    assert tail.poll() == [b'{"b":2}', b"no json", b"[1]", b'{"c":3}']
    assert tail.poll() == []
    assert Tail(file).poll()[::4] == [b'{"a":1}', b'{"c":3}']
