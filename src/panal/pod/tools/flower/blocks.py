"""Reads the numbers of Flower's arrays a block at a time: the arrays of large models are in files (`arrays`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .arrays import stored
from .judge import header
from .spool import Contents, beginning

BLOCK = 8 << 20  # bytes of all arrays that are in memory together
FORTRAN = b"True"  # in a header only as the value of fortran_order


class Numbers:
    """The numbers of a valid array in npy format, in the order of C whatever the order of its data is."""

    def __init__(self, array: Any) -> None:
        self.shape, self.dtype, self._start = header(array)
        self.count = math.prod(self.shape)
        self._data = stored(array)
        by_columns = len(self.shape) > 1 and FORTRAN in beginning(self._data, self._start)
        self._whole = array.numpy().reshape(-1) if by_columns else None

    def part(self, at: int, count: int) -> Any:
        """The numbers from `at` on, one-dimensional."""
        import numpy as np

        if self._whole is not None:
            return self._whole[at : at + count]
        first, size = self._start + at * self.dtype.itemsize, count * self.dtype.itemsize
        if not isinstance(self._data, Contents):
            return np.frombuffer(self._data, self.dtype, count, first)
        buffer = bytearray(size)
        self._data.read_into(memoryview(buffer), first)
        return np.frombuffer(buffer, self.dtype)


def blocks(arrays: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Consecutive blocks of arrays of the same type and shape, with the index of the first number: shape (arrays, numbers)."""
    import numpy as np

    opened = [Numbers(array) for array in arrays]
    first = opened[0]
    longest = max(1, BLOCK // (len(opened) * first.dtype.itemsize))
    for at in range(0, first.count, longest):
        count = min(longest, first.count - at)
        yield at, np.stack([each.part(at, count) for each in opened])


def squared_norm(sent: Any, got: Any) -> float:
    """The sum of the squared differences of two arrays of the same shape, in float64; infinite if it is too large for that."""
    import numpy as np

    before, after = Numbers(sent), Numbers(got)
    longest = max(1, BLOCK // (4 * max(before.dtype.itemsize, after.dtype.itemsize)))
    total = 0.0
    with np.errstate(over="ignore"):
        for at in range(0, after.count, longest):
            count = min(longest, after.count - at)
            change = after.part(at, count).astype(np.float64) - before.part(at, count)
            total += float(np.dot(change, change))
    return total
