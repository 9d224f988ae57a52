"""Digits as files: `x` (n, 28, 28) of bytes and `y` (n,)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def load(file: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Images as rows of 784 numbers from 0 to 1, and their labels."""
    with np.load(file) as data:
        return data["x"].reshape(len(data["x"]), 784).astype(np.float32) / 255, data["y"]
