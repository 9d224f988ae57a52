"""Converts a model from npz to safetensors and back, in chunks, so that memory use does not depend on the model's size.

The safetensors library keeps all tensors in memory while it writes. The format: the header's length (8 bytes, little-endian), the header
(JSON: dtype, shape and offsets of each tensor, padded with spaces), then the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

PIECE = 4 << 20  # bytes
MAX_HEADER = 100_000_000  # bytes, as the safetensors library has it
METADATA = "__metadata__"  # what safetensors calls its own entry of the header
_NAMES = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip


class UnstorableError(Exception):
    """The model cannot be written as safetensors."""


@dataclass(frozen=True, slots=True)
class Tensor:
    member: str
    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    plain: bool  # stored little-endian and in C order, as safetensors stores it

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Written:
    digest: str  # sha256:<hex>
    size: int


def convert(source: Path, names: Sequence[str], target: Path, metadata: dict[str, str], tick: Callable[[], None] = lambda: None) -> Written:
    """Writes the npz `source` as safetensors to `target` and syncs it. Array `i.npy` is named `names[i]`. Calls `tick` after each chunk.

    Raises UnstorableError for a type or a name that safetensors lacks, ValueError for what is no array of numbers.
    """
    with zipfile.ZipFile(source) as archive:
        headers = [_checked(archive, f"{index}.npy", name) for index, name in enumerate(names)]
        tensors = [_describe(index, name, *header) for index, (name, header) in enumerate(zip(names, headers, strict=True))]
        tensors.sort(key=lambda t: -t.dtype.itemsize)  # aligns each tensor to its item size
        return _write(_pieces(archive, tensors, metadata), target, tick)


def unpack(source: Path, target: Path, tick: Callable[[], None] = lambda: None) -> list[str]:
    """Writes the safetensors file `source` as an npz to `target`. Returns the names: array `i.npy` is that of the i-th name. Calls `tick`
    after each chunk.

    Raises ValueError if it is no such file, or has a type that numpy lacks.
    """
    with source.open("rb") as file, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        header, begin = _read_header(file)
        for index, (dtype, shape, start, size) in enumerate(_entries(header, os.fstat(file.fileno()).st_size - begin)):
            with archive.open(f"{index}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_2_0(member, {"descr": dtype.str, "fortran_order": False, "shape": shape})
                file.seek(begin + start)
                for at in range(0, size, PIECE):
                    member.write(file.read(min(PIECE, size - at)))
                    tick()
    return list(header)


def check(source: Path, names: Sequence[str]) -> None:
    """Raises ValueError or KeyError if the npz has not exactly these arrays, in the form in which `convert` reads them."""
    with zipfile.ZipFile(source) as archive:
        if len(archive.namelist()) != len(names):
            raise ValueError(f"it has {len(archive.namelist())} arrays, and {len(names)} names")
        for index, name in enumerate(names):
            _checked(archive, f"{index}.npy", name)


def _read_header(file: IO[bytes]) -> tuple[dict[str, Any], int]:
    """The entries of a safetensors file by name, and where its data begins."""
    first = file.read(8)
    length = struct.unpack("<Q", first)[0] if len(first) == 8 else MAX_HEADER + 1
    if length > MAX_HEADER:
        raise ValueError("it does not begin like a safetensors file")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return {name: entry for name, entry in header.items() if name != METADATA}, 8 + length


Place = tuple[np.dtype[Any], tuple[int, ...], int, int]  # type, shape, begin and size of an array


def _entries(header: dict[str, Any], there: int) -> list[Place]:
    """The arrays in the order of the header. `there`: bytes of data in the file, of which each belongs to one array, as in the safetensors
    library; a small file could otherwise become a large model."""
    found = {name: _entry(name, entry, there) for name, entry in header.items()}
    end = 0
    for name, (_, _, start, size) in sorted(found.items(), key=lambda each: each[1][2:]):
        if start != end:
            raise ValueError(f"array {name!r} does not begin where the one before it ends")
        end += size
    if end != there:
        raise ValueError(f"it has {there} bytes of data, and its header says {end}")
    return list(found.values())


def _entry(name: str, entry: Any, there: int) -> Place:
    kind = next((kind for kind, known in _NAMES.items() if known == entry["dtype"]), None)
    if kind is None:
        raise ValueError(f"array {name!r} has the type {entry['dtype']}, which numpy does not have")
    dtype, shape = np.dtype(f"<{kind}"), tuple(int(length) for length in entry["shape"])
    start, end = (int(offset) for offset in entry["data_offsets"])
    if any(length < 0 for length in shape) or not 0 <= start <= end <= there or math.prod(shape) * dtype.itemsize != end - start:
        raise ValueError(f"array {name!r} is not where its header says")
    return dtype, shape, start, end - start


def copy(source: Path, target: Path, tick: Callable[[], None] = lambda: None) -> Written:
    """Copies `source` to `target` unchanged and syncs it."""
    with source.open("rb") as file:
        return _write(iter(lambda: file.read(PIECE), b""), target, tick)


def _write(pieces: Iterable[bytes], target: Path, tick: Callable[[], None]) -> Written:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
            tick()
        file.flush()
        os.fsync(file.fileno())
        return Written(f"sha256:{digest.hexdigest()}", file.tell())


def read_bytes(source: Path, index: int, most: int) -> bytes | None:
    """The content of array `index` if it is a one-dimensional uint8 array of at most `most` bytes, else None."""
    with zipfile.ZipFile(source) as archive, archive.open(f"{index}.npy") as file:
        shape, _, dtype = _header(file)
        if dtype != np.uint8 or len(shape) != 1 or shape[0] > most:
            return None
        return file.read(shape[0])


Header = tuple[tuple[int, ...], bool, np.dtype[Any]]  # shape, whether in Fortran order, dtype


def _checked(archive: zipfile.ZipFile, member: str, name: str) -> Header:
    """The header of an array. Raises ValueError for pickled objects, which run code when they are loaded, and for a header that does not
    describe the data."""
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        size = archive.getinfo(member).file_size - file.tell()
    if dtype.hasobject:
        raise ValueError(f"array {name!r} has pickled objects; only numbers can be stored")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"array {name!r} has {size} bytes, which is not the size of {dtype} {shape}")
    return shape, fortran, dtype


def _describe(index: int, name: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> Tensor:
    if dtype.str[1:] not in _NAMES:
        raise UnstorableError(f"array {name!r} is of type {dtype}, which safetensors does not have")
    if name == METADATA:
        raise UnstorableError(f"safetensors allows no array with the name {METADATA}")
    return Tensor(f"{index}.npy", name, dtype, shape, plain=not fortran and dtype.str[0] != ">")


def _header(file: IO[bytes]) -> Header:
    """Reads the npy header: shape, whether in Fortran order, dtype. Leaves `file` at the data."""
    first = np.lib.format.read_magic(file) == (1, 0)
    return (np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0)(file)


def _pieces(archive: zipfile.ZipFile, tensors: Sequence[Tensor], metadata: dict[str, str]) -> Iterator[bytes]:
    header: dict[str, object] = {METADATA: metadata}
    position = 0
    for tensor in tensors:
        offsets = [position, position + tensor.size]
        header[tensor.name] = {"dtype": _NAMES[tensor.dtype.str[1:]], "shape": list(tensor.shape), "data_offsets": offsets}
        position += tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for tensor in tensors:
        yield from _data(archive, tensor)


def _data(archive: zipfile.ZipFile, tensor: Tensor) -> Iterator[bytes]:
    with archive.open(tensor.member) as file:
        if not tensor.plain:
            array = np.lib.format.read_array(file, allow_pickle=False)
            yield np.ascontiguousarray(array, dtype=tensor.dtype.newbyteorder("<")).tobytes()
            return
        _header(file)
        while piece := file.read(PIECE):
            yield piece
