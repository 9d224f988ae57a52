"""A model that is handed over as an npz file: what is taken, and what is refused with the reason."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from panal.pod.storing import Place, store
from panal.pod.tools.files import RunError
from panal.pod.tools.model import adopt_model, infinite_in

PLACE = ("team", "digits", "u")


def npy(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = repr(header).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def header(shape: tuple[int, ...], descr: str = "<f4", fortran: bool = False) -> dict[str, Any]:
    return {"descr": descr, "fortran_order": fortran, "shape": shape}


def stored(tmp_path: Path, npz: Path) -> Path:
    """The stored model."""
    adopt_model(npz, tmp_path / "handed", {"start": 1, "round": 2})
    model = json.loads((tmp_path / "handed/model.json").read_text())
    place = Place.of(tmp_path / "volume", "pvc://models", "", PLACE)
    status = store(tmp_path / "handed/model.npz", model, place, {}, lambda: None)
    return place.folder / status.uri.rpartition("/")[2]


def test_arrays_of_every_order_and_name(tmp_path: Path) -> None:
    arrays = {
        "a/b": np.ones((2, 3)),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "0-d": np.float32(3),
        "none": np.zeros((0, 4)),
    }
    np.savez_compressed(tmp_path / "m.npz", **arrays)
    found = load_file(stored(tmp_path, tmp_path / "m.npz"))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "it has no arrays"),
        ([("readme.txt", b"x")], "readme.txt is no array"),
        ([("a.npy", npy(header((1,)), bytes(4)))] * 2, "several arrays have the same name"),
    ],
)
def test_an_archive_that_is_no_model_is_refused(tmp_path: Path, members: list[tuple[str, bytes]], why: str) -> None:
    with pytest.raises(RunError, match=why) as refused:
        adopt_model(archive(tmp_path / "m.npz", *members), tmp_path / "handed", {})
    assert refused.value.reason == "ArraysNotStorable"
    assert not (tmp_path / "handed/model.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        npy(header((3,)), bytes(4)),
        npy(header((-4,)), bytes(16)),
        npy(header((10**7, 10**6))),
        npy(header((10**7, 10**6), fortran=True)),
        npy(header((1,)), bytes(400)),
    ],
)
def test_a_header_that_does_not_describe_the_data_is_not_stored(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match="which is not the size of"):
        stored(tmp_path, archive(tmp_path / "m.npz", ("a.npy", content)))
    assert not [path for path in (tmp_path / "volume").rglob("*") if path.is_file()]


def test_a_name_that_safetensors_does_not_allow_is_stored_as_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", __metadata__=np.ones(2))
    assert stored(tmp_path, tmp_path / "m.npz").name == "model.npz"


def test_numbers_that_are_not_finite_are_found_in_any_piece(tmp_path: Path) -> None:
    large = np.ones(3 << 20, np.float32)
    large[-1] = np.nan
    np.savez(tmp_path / "m.npz", large=large, whole=np.ones(3, int), inf=np.array([np.inf]), fine=np.ones(3))
    assert infinite_in(tmp_path / "m.npz") == "large, inf"
    np.savez(tmp_path / "pickled.npz", a=np.array([{}]))
    assert infinite_in(tmp_path / "pickled.npz") == ""
