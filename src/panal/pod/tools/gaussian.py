"""The Gaussian mechanism on the update of a model: the update is scaled to a norm, and each of its numbers gets noise.

Everything is computed in float64, block by block, whatever the arrays' types. The noise comes from the operating system's generator for
cryptography (`os.urandom`), by the method of Box and Muller. numpy's own generators are not made for this: where an update is zero its
noise is visible, and from enough of it their state, and with it all other noise, can be computed. The noise is a float, with a float's
gaps: its last bits may tell something to who knows how it was computed (Mironov, 2012), against which this does not protect.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

BLOCK = 1 << 18  # numbers
Source = Callable[[int], bytes]  # as many random bytes


def differences(before: Any, after: Any) -> Iterator[Any]:
    """The update `after` - `before` of two float arrays of one shape, as one-dimensional float64 arrays of at most BLOCK numbers."""
    import numpy as np

    before, after = before.ravel(), after.ravel()
    for start in range(0, after.size, BLOCK):
        part = slice(start, start + BLOCK)
        with np.errstate(over="ignore", invalid="ignore"):
            yield after[part].astype(np.float64) - before[part].astype(np.float64)


def norm(blocks: Iterable[Any]) -> float:
    """The Euclidean norm of all numbers together; NaN or infinity if any of them is not finite. No square overflows, as in BLAS's nrm2."""
    import numpy as np

    largest, total = 0.0, 0.0  # the norm is largest * √total
    for block in blocks:
        most = float(np.abs(block).max(initial=0.0))
        if not math.isfinite(most):
            return most
        if most > largest:
            total *= (largest / most) ** 2
            largest = most
        if largest:
            total += float(np.square(block / largest).sum())
    return largest * math.sqrt(total)


def factor(found: float, most: float) -> float:
    """By which an update of the norm `found` is multiplied, so that its norm is at most `most`."""
    return 1.0 if found <= most else most / found


def noised(before: Any, after: Any, by: float, deviation: float, source: Source = os.urandom) -> Any:
    """`before`, and the update to `after` times `by`, and noise of this standard deviation. An array like `after`: same shape and type.
    Numbers that its type cannot have become the largest that it can."""
    import numpy as np

    made = np.empty(after.size, after.dtype)
    most = float(np.finfo(after.dtype).max) if after.dtype.itemsize < 8 else math.inf
    base = before.ravel()
    for number, block in enumerate(differences(before, after)):
        part = slice(number * BLOCK, number * BLOCK + block.size)
        values = base[part].astype(np.float64) + block * by + gaussian(block.size, source) * deviation
        made[part] = np.clip(values, -most, most)
    return made.reshape(after.shape)


def gaussian(count: int, source: Source = os.urandom) -> Any:
    """Independent numbers of the standard normal distribution, at most 8.6 in size, as float64."""
    import numpy as np

    pairs = (count + 1) // 2
    bits = np.frombuffer(source(16 * pairs), np.uint64) >> np.uint64(11)
    uniform = (bits.astype(np.float64) + 1.0) * 2.0**-53  # in (0, 1]
    radius, angle = np.sqrt(-2.0 * np.log(uniform[:pairs])), 2.0 * math.pi * uniform[pairs:]
    return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]
