"""Reads the stored model as numpy arrays: in C order, by name, whatever version of the safetensors library the image has."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
OTHER = {"BF16": 2, "F8_E5M2": 1, "F8_E4M3": 1, "C64": 8}  # types that numpy lacks or a model does not have, with their size
LARGEST_HEADER = 100 << 20  # bytes, as in the library
METADATA = "__metadata__"


class FormatError(Exception):
    """The file is not of its format. The message says why."""


def read(model: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a stored model by name. Raises FormatError."""
    if model.suffix == ".npz":
        return dict(_of_npz(model, metadata.get("arrays") or []))
    return {name: array for name, array in tensors(model) if array is not None}


def tensors(file: Path) -> Iterator[tuple[str, Any]]:
    """Names and arrays of a safetensors file; None for an array of a type that numpy lacks. Raises FormatError if the header does not fit
    the file."""
    import numpy as np

    start, header = read_header(file)
    for name, about in header.items():
        begin, _ = about["data_offsets"]
        if about["dtype"] not in TYPES:
            yield name, None
            continue
        dtype, shape = np.dtype(TYPES[about["dtype"]]), tuple(about["shape"])
        flat = np.fromfile(file, dtype=dtype, count=math.prod(shape), offset=start + begin)
        yield name, flat.astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def read_header(file: Path) -> tuple[int, dict[str, Any]]:
    """Where the data begins, and the entries of the arrays. Raises FormatError."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        text = opened.read(length) if length <= LARGEST_HEADER else b""
    size = file.stat().st_size - 8 - length
    try:
        header = json.loads(text)
        header.pop(METADATA, None)
        end = 0
        for name, about in sorted(header.items(), key=lambda each: each[1]["data_offsets"]):
            begin, after = about["data_offsets"]
            bytes_ = math.prod(about["shape"]) * _item(about["dtype"])
            if begin != end or after - begin != bytes_ or any(length < 0 for length in about["shape"]):
                raise FormatError(f"{file.name}: array {name[:80]} does not have the size of its shape")
            end = after
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{file.name} is no safetensors file: its header cannot be read") from error
    if end != size:
        raise FormatError(f"{file.name} has {size} bytes of data, and its header says {end}")
    return 8 + length, header


def _item(dtype: str) -> int:
    return int(TYPES[dtype][-1]) if dtype in TYPES and dtype != "BOOL" else 1 if dtype == "BOOL" else OTHER[dtype]


def _of_npz(model: Path, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    import numpy as np

    with np.load(model, allow_pickle=False) as stored:
        for index, name in enumerate(names):
            yield name, np.ascontiguousarray(stored[str(index)])


def differences(file: Path, model: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Compares a safetensors file with the model where names are equal. Returns the arrays that have the model's numbers in order of its
    columns, which is a defect, and those that differ in another way. Raises FormatError."""
    import numpy as np

    scrambled: list[str] = []
    other: list[str] = []
    for name, array in tensors(file):
        wanted = model.get(name)
        if array is None or wanted is None or _same(array, wanted):
            continue
        columns = np.ascontiguousarray(wanted.T).reshape(wanted.shape) if wanted.ndim > 1 else wanted
        (scrambled if _same(array, columns) else other).append(name)
    return scrambled, other


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    return bool(one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
