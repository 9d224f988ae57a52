"""Windows of sensors, as a file: `x` (n, 2, 160), the steering angle in radians and the offset from the lane's middle in metres, ten
times a second; `drowsy` (n,), 1 if the driver was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Windows = tuple[Floats, NDArray[np.int64]]

LENGTH = 160
SCALE = np.array([0.15, 0.2], np.float32)[:, None]  # usual sizes of the two


def load(file: Path) -> Windows:
    """The windows, each sensor in units of its usual size, and the answers. Raises ValueError if the file has another form."""
    with np.load(file) as data:
        x, drowsy = data["x"], data["drowsy"].astype(np.int64)
    if x.ndim != 3 or x.shape[1:] != (2, LENGTH) or drowsy.shape != (len(x),) or not len(x):
        raise ValueError(f"{file.name}: x is {x.shape} and drowsy {drowsy.shape}, not (n, 2, {LENGTH}) and (n,)")
    if not np.isfinite(x).all():
        raise ValueError(f"{file.name}: x has values that are not numbers")
    return (x / SCALE).astype(np.float32), drowsy
