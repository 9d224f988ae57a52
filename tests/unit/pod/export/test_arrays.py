"""The arrays that an export gets, and what the real safetensors library writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from panal.pod.tools.export.arrays import OTHER, TYPES, FormatError, differences, read, read_header, tensors
from panal.pod.tools.export.checks import RefusedError, check
from stored_models import stored

MODEL = {
    "0": np.arange(6, dtype=np.float32).reshape(2, 3),
    "10": np.array([1.5, np.nan]),
    "2": np.asfortranarray(np.arange(12, dtype=np.int64).reshape(3, 4)),
    "flag": np.array([True, False]),
    "one": np.array(7, dtype=np.uint8),
    "none": np.zeros((0, 3), dtype=np.float16),
}


def test_every_array_comes_back_by_name_in_c_order(tmp_path: Path) -> None:
    found = read(stored(tmp_path, MODEL), {})
    assert found.keys() == MODEL.keys()
    for name, array in MODEL.items():
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f"), name
        assert found[name].dtype == array.dtype
        assert found[name].flags.c_contiguous
        assert found[name].flags.writeable


def test_a_model_that_is_an_npz_gets_its_names_from_the_metadata(tmp_path: Path) -> None:
    stored(tmp_path, MODEL)
    found = read(tmp_path / "model.npz", {"arrays": list(MODEL)})
    assert np.array_equal(found["2"], MODEL["2"])
    assert found["2"].flags.c_contiguous


@pytest.mark.parametrize("damage", ["short", "long", "header", "shape", "type"])
def test_a_damaged_file_is_named(damage: str, tmp_path: Path) -> None:
    file = stored(tmp_path, {"w": np.zeros((2, 2), dtype=np.float32)})
    content = file.read_bytes()
    match damage:
        case "short":
            content = content[:-1]
        case "long":
            content += b"x"
        case "header":
            content = b"\xff" * 20
        case "shape":
            content = content.replace(b"[2,2]", b"[2,3]")
        case "type":
            content = content.replace(b"F32", b"X32")
    file.write_bytes(content)
    with pytest.raises(FormatError):
        read_header(file)


def test_the_real_library_writes_wrong_numbers_and_the_check_finds_it(tmp_path: Path) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = stored(tmp_path, {"w": weights, "b": np.zeros(3)})
    file = tmp_path / "exported.safetensors"
    save_file({"w": np.asfortranarray(weights), "b": np.zeros(3)}, file)
    written = dict(tensors(file))["w"]
    if np.array_equal(written, weights):  # a version that writes them rightly, as 0.7 did
        assert check(file, model, {}) == {"check": "read, 2 arrays, 2 of them equal to those of the model"}
        return
    assert differences(file, read(model, {})) == (["w"], [])
    with pytest.raises(
        RefusedError, match=r"exported\.safetensors: w has the model's numbers in the wrong order: call numpy\.ascontiguous"
    ):
        check(file, model, {})


def test_the_same_arrays_in_c_order_are_equal_and_changed_ones_are_told(tmp_path: Path) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = stored(tmp_path, {"w": weights, "b": np.zeros(3)})
    file = tmp_path / "exported.safetensors"
    save_file({"w": np.ascontiguousarray(np.asfortranarray(weights)), "b": np.ones(3), "new": np.zeros(1)}, file)
    assert check(file, model, {}) == {"check": "read, 3 arrays, 1 of them equal to those of the model; different: b"}


def test_every_type_has_a_size() -> None:
    for name in TYPES:
        array = np.zeros(1, dtype=TYPES[name])
        assert array.dtype.itemsize == int(name.lstrip("FIUBOL") or 8) // 8
    assert not TYPES.keys() & OTHER.keys()


def test_arrays_of_types_that_numpy_lacks_have_no_value(tmp_path: Path) -> None:
    header = json.dumps({"h": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    assert list(tensors(tmp_path / "x.safetensors")) == [("h", None)]
