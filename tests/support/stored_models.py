"""A model as the reporter stores it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from panal.pod.tensors import convert


def stored(folder: Path, model: Mapping[str, np.ndarray]) -> Path:
    """Writes `model.npz` and `model.safetensors` into `folder`, and returns the second."""
    np.savez(folder / "model.npz", **{str(index): array for index, array in enumerate(model.values())})
    convert(folder / "model.npz", list(model), folder / "model.safetensors", {})
    return folder / "model.safetensors"
