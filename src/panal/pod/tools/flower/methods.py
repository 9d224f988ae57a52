"""The aggregation methods of `spec.server.aggregation`, over numpy arrays. Pure.

A block has one row for each update. Every update counts the same, because a site says itself by how many examples it wants to count.
Floating-point numbers are reckoned in float64 and returned in their own type. Integers, such as the batches that BatchNorm counts, take the
median whatever the method is, and are no part of distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..codes import Code


class Method(Code):
    APP = "App"
    MEAN = "Mean"
    MEDIAN = "Median"
    TRIMMED_MEAN = "TrimmedMean"
    KRUM = "Krum"
    MULTI_KRUM = "MultiKrum"


SELECTING = (Method.KRUM, Method.MULTI_KRUM)  # methods that leave out whole updates
FLOATS = ("float16", "float32", "float64")


def fewest(method: Method, byzantine: int) -> int:
    """The number of updates that the method needs if `byzantine` of them may be anything."""
    if method in SELECTING:
        return 2 * byzantine + 3
    return 2 * byzantine + 1 if method in (Method.MEDIAN, Method.TRIMMED_MEAN) else 1


def combined(method: Method, byzantine: int, rows: Any) -> Any:
    """One row from `rows`, shape (updates, numbers): for a selecting method the mean of the updates that it has selected. No number is
    outside of the range of its column."""
    import numpy as np

    if str(rows.dtype) not in FLOATS:
        return np.sort(rows, axis=0)[(len(rows) - 1) // 2]  # the lower one of two in the middle: an average may be no integer
    if len(rows) == 1:
        return rows[0].copy()
    if method is Method.MEDIAN:
        ordered = np.sort(rows, axis=0)
        low, high = (ordered[index].astype(np.float64) for index in ((len(rows) - 1) // 2, len(rows) // 2))
        return (0.5 * low + 0.5 * high).astype(rows.dtype)
    kept = np.sort(rows, axis=0)[byzantine : len(rows) - byzantine] if method is Method.TRIMMED_MEAN else rows
    with np.errstate(over="ignore"):
        mean = kept.mean(axis=0, dtype=np.float64)
    return mean.clip(kept.min(axis=0), kept.max(axis=0)).astype(
        rows.dtype
    )  # a sum of large numbers may overflow, and rounding add a little


def squared_distances(rows: Any) -> Any:
    """The squares of the distances between each two rows, shape (updates, updates); infinite if they are too large for float64."""
    import numpy as np

    wide = rows.astype(np.float64)
    found = np.zeros((len(rows), len(rows)))
    with np.errstate(over="ignore"):
        for index in range(len(rows) - 1):
            apart = wide[index + 1 :] - wide[index]
            found[index, index + 1 :] = np.einsum("ij,ij->i", apart, apart)
    return found + found.T


def selected(method: Method, byzantine: int, distances: Any) -> Sequence[int]:
    """The indices of the updates with the least sums of squared distances to their n - f - 2 nearest: one of them for Krum, n - f - 2 for
    MultiKrum."""
    import numpy as np

    near = len(distances) - byzantine - 2
    others = [np.sort(np.delete(row, index)) for index, row in enumerate(distances)]
    scores = [float(row[:near].sum()) for row in others]
    order = sorted(range(len(scores)), key=lambda index: scores[index])
    return sorted(order[: 1 if method is Method.KRUM else near])
