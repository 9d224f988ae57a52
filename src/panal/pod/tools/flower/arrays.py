"""Hook in both apps' processes: Flower's arrays keep their data in files (`spool`), and read it when it is used.

A strategy reads one array of a reply at a time, so it needs memory for the arrays with which it computes, and not for the replies. An array
that is received consists of the objects in which it has arrived; an array that is sent is read piece by piece.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from .spool import SMALLEST, Contents, Spool, Stored

_spool = Spool()


def patch(module: ModuleType) -> None:
    """`module` is flwr.app.message.array, or flwr.app.message.arrayrecord."""
    if module.__name__.endswith("arrayrecord"):
        module.ArrayRecord.from_array_dict = classmethod(from_array_dict)
    else:
        patch_array(module)


def patch_array(module: Any) -> None:
    array: Any = module.Array
    chunk = lazy_chunk(module)
    from_numpy, numpy, slices, inflate = array.from_numpy_ndarray, array.numpy, array.slice_array, array.inflate

    def from_numpy_ndarray(cls: Any, ndarray: Any) -> Any:
        if getattr(ndarray, "nbytes", 0) < SMALLEST:
            return from_numpy(ndarray)
        import numpy as np

        file = _Writer()
        np.save(file, ndarray, allow_pickle=False)
        made = cls(dtype=str(ndarray.dtype), shape=tuple(ndarray.shape), stype=module.SType.NUMPY, data=b"")
        made.data = Contents(file.parts)
        return made

    def to_numpy(self: Any) -> Any:
        if not isinstance(data := stored(self), Contents) or self.stype != module.SType.NUMPY:
            return numpy(self)
        import numpy as np

        return np.load(data.file(), allow_pickle=False)

    def slice_array(self: Any) -> Any:
        if not isinstance(data := stored(self), Contents):
            return slices(self)
        if "_chunks" not in self.__dict__:
            size = module.FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
            found = [chunk(data.part(start, min(size, len(data) - start))) for start in range(0, len(data), size)]
            self.__dict__["_chunks"] = [(each.object_id, each) for each in found]
        return self.__dict__["_chunks"]

    def from_objects(cls: Any, object_content: bytes, children: Mapping[str, Any] | None = None) -> Any:
        if not any(isinstance(each, chunk) for each in (children or {}).values()):
            return inflate(object_content, children)
        assert children is not None
        made = inflate(object_content, {name: module.ArrayChunk(memoryview(b"")) for name in children})
        names = module.get_object_children_ids_from_object_content(object_content)
        order = json.loads(module.get_object_body(object_content, cls))["arraychunk_ids"]
        made.data = Contents(part for index in order for part in parts_of(children[names[index]]))
        return made

    array.data = property(_read, _keep)
    array.from_numpy_ndarray = classmethod(from_numpy_ndarray)
    array.numpy = to_numpy
    array.slice_array = slice_array
    array.inflate = classmethod(from_objects)


def lazy_chunk(module: Any) -> Any:
    """A class of array chunks whose data is read when it is used. They do not change."""

    class ArrayChunk(module.ArrayChunk):  # type: ignore[misc]
        is_dirty = False

        def __init__(self, contents: Contents) -> None:
            self.contents = contents

        @property
        def data(self) -> memoryview:
            return memoryview(self.contents.read())

        def stored(self) -> Contents:
            """What `deflate` returns, without reading it."""
            empty = module.ArrayChunk(memoryview(b"")).deflate()
            divider = empty[-1:]
            head = empty[:-1].rpartition(b" ")[0] + f" {len(self.contents)}".encode()
            return Contents([head + divider, *self.contents.parts])

    ArrayChunk.__qualname__ = module.ArrayChunk.__qualname__  # Flower writes it into the object
    module.LazyArrayChunk = ArrayChunk
    return ArrayChunk


def parts_of(chunk: Any) -> tuple[Any, ...]:
    contents = getattr(chunk, "contents", None)
    return contents.parts if isinstance(contents, Contents) else (bytes(chunk.data),)


def from_array_dict(cls: Any, array_dict: dict[str, Any], *, keep_input: bool = True) -> Any:
    """As Flower's, without reading the data."""
    record = cls()
    for name, array in array_dict.items():
        made = type(array)(dtype=array.dtype, shape=tuple(array.shape), stype=array.stype, data=b"")
        made.data = stored(array)
        record[name] = made
    if not keep_input:
        array_dict.clear()
    return record


def stored(array: Any) -> Stored:
    """The data of an array, which may not have been read."""
    found: Stored | None = vars(array).get("data")
    return array.data if found is None else found


def _read(array: Any) -> Any:
    try:
        data = array.__dict__["data"]
    except KeyError:
        raise AttributeError("data") from None
    return data.read() if isinstance(data, Contents) else data


def _keep(array: Any, data: Any) -> None:
    array.__dict__["data"] = _spool.add(data) if isinstance(data, bytes) else data


class _Writer:
    """A file for `numpy.save`."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def write(self, content: bytes) -> None:
        written = _spool.add(content)
        self.parts += written.parts if isinstance(written, Contents) else [written]
