"""Reads a safetensors file with numpy alone. What it says of itself is checked: whoever can write the storage can write the file."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panal.client.problem import Code, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 100 << 20  # bytes of a header
ABOUT = "__metadata__"
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays by name, in C order and writable, in the order of the file. Raises Problem."""
    try:
        import numpy as np
    except ImportError as error:
        raise Problem(Code.USAGE, "numpy is not installed, and arrays are numpy's", "`pip install 'panal[notebook]'`") from error
    header, begin = _header(file)
    size = file.stat().st_size - begin
    found: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        type_, shape, start = _entry(file, name, entry, size)
        found[name] = np.fromfile(file, np.dtype(type_), math.prod(shape), offset=begin + start).reshape(shape)
    return found


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The entries of the arrays, and where the data begins."""
    with file.open("rb") as content:
        first = content.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 0 < length <= LONGEST:
            raise _invalid(file, "its header has no valid length")
        try:
            header = json.loads(content.read(length))
        except (ValueError, RecursionError) as error:
            raise _invalid(file, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _invalid(file, "its header is not an object")
    header.pop(ABOUT, None)
    return header, 8 + length


def _entry(file: Path, name: str, entry: Any, size: int) -> tuple[str, tuple[int, ...], int]:
    """numpy's type, the shape, and where the array begins in the data."""
    try:
        type_, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        whole = all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in (*shape, start, end))
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(file, f"the array {name!r} is not described") from error
    if not isinstance(type_, str) or type_ not in TYPES:
        raise _invalid(file, f"the array {name!r} is of type {type_!r}, which numpy does not have", "Load it with your framework.")
    width = int(TYPES[type_][-1]) if TYPES[type_] != "?" else 1
    if not whole or end > size or end - start != math.prod(shape) * width:
        raise _invalid(file, f"the bytes of the array {name!r} are not those of its type and shape")
    return TYPES[type_], shape, start


def _invalid(file: Path, why: str, remedy: str = "") -> Problem:
    return Problem(Code.REFUSED, f"{file} cannot be read as safetensors: {why}", remedy or "`path` is the file, as the run has stored it.")
