"""Hands the aggregated model to the reporter: model.npz, array by array to spare memory, then model.json by rename."""

from __future__ import annotations

import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from .files import Record, write_json


def write_model(folder: Path, arrays: Any, description: Record) -> None:
    """`arrays` maps names to Flower Arrays. In the npz the i-th is `i.npy`; `description["arrays"]` gets the names in that order."""
    import numpy as np

    part = folder / ".model.npz.part"
    names = []
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for index, (name, array) in enumerate(arrays.items()):
            names.append(str(name))
            with archive.open(f"{index}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array.numpy()), allow_pickle=False)
    part.replace(folder / "model.npz")
    write_json(folder / "model.json", {**description, "arrays": names})


def versions() -> dict[str, str]:
    return {name: distribution.version for name in ("flwr", "numpy") for distribution in distributions(name=name)}
