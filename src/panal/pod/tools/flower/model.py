"""Hands a model to the reporter, one folder for each call of `start`: model.npz, array by array to spare memory, then model.json by rename.

What can be wrong with a model is looked at here as well: types that cannot be stored, types that change, numbers that are none.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from ..codes import QUERY, Doubt, Ending
from ..files import ARRAYS, MODEL, MODELS, Json, append, run_dir, shown, write_json
from ..records import ModelMade
from .journal import Journal
from .judge import NUMPY, not_finite

# What safetensors has a type for, by numpy's names.
STORABLE = frozenset({"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float16", "float32", "float64"})
SHOWN = 3  # arrays that are named
LONGEST_NAME = 80


def hand_over(journal: Journal, grid: Any, arrays: Mapping[str, Any], *, round_: int, strategy: str, metrics: Mapping[str, Any]) -> None:
    """`round_` is the one that the arrays are of, `metrics` are those of the last round."""
    journal.models += 1
    run = getattr(grid, "run", None)
    description = {
        "start": journal.models,
        "round": round_,
        "metrics": metrics,
        "history": {kind: found for kind, found in journal.history.items() if found or kind != QUERY},
        "strategy": strategy,
        "app": {key: str(getattr(run, key, "")) for key in ("fab_id", "fab_version", "fab_hash")},
        "versions": versions(),
    }
    try:
        write_model(run_dir() / MODELS / str(journal.models), arrays, description)
        suspect = "; ".join(suspicious(arrays))
    except Exception as error:  # noqa: BLE001  the launcher ends the run with this reason; the app need not fail as well
        journal.stopped(Ending.MODEL_MISSING, f"The model could not be handed over: {error!r}")
        return
    if suspect:
        journal.notice(Doubt.MODEL_SUSPECT, suspect)
    append(ModelMade(start=journal.models, round=round_))


def write_model(folder: Path, arrays: Mapping[str, Any], description: Json) -> None:
    """`arrays` maps names to Flower Arrays. In the npz the i-th is `i.npy`; `description["arrays"]` gets the names in that order."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{ARRAYS}.part"
    names = []
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for index, (name, array) in enumerate(arrays.items()):
            names.append(str(name))
            with archive.open(f"{index}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array.numpy()), allow_pickle=False)
    part.replace(folder / ARRAYS)
    write_json(folder / MODEL, {**description, "arrays": names})


def versions() -> dict[str, str]:
    return {name: distribution.version for name in ("flwr", "numpy") for distribution in distributions(name=name)}


def suspicious(arrays: Mapping[str, Any]) -> Iterator[str]:
    """What no model should have."""
    import numpy as np

    infinite = [name for name, array in arrays.items() if not_finite(array)]
    if infinite:
        yield f"{named(infinite)} with NaN or infinity"
    negative = [n for n, a in arrays.items() if str(n).endswith("running_var") and a.stype == NUMPY and bool(np.any(a.numpy() < 0))]
    if negative:
        yield f"{named(negative)} with a negative variance"


def named(names: list[str]) -> str:
    """Such as `a, b and 3 more`."""
    listed = ", ".join(shown(str(name), LONGEST_NAME) for name in names[:SHOWN])
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed


def unstorable(arrays: Mapping[str, Any]) -> str:
    """Names the arrays that the model cannot be stored with; empty if all can be."""
    return named([f"{shown(str(name), LONGEST_NAME)} ({kind})" for name, array in arrays.items() if (kind := _type(array)) not in STORABLE])


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """How the types of a model's arrays differ, with the sizes; empty if they are the same."""
    found = {n: (_type(before[n]), _type(after[n])) for n in before if n in after and _type(before[n]) != _type(after[n])}
    if not found:
        return ""
    listed = named([f"{shown(str(name), LONGEST_NAME)} {old} → {new}" for name, (old, new) in found.items()])
    return f"{listed}: the model's size goes from {sum(map(_size, before.values()))} to {sum(map(_size, after.values()))} bytes"


def _type(array: Any) -> str:
    """In the machine's byte order; what numpy does not know, by its own name."""
    import numpy as np

    try:
        return str(np.dtype(array.dtype).newbyteorder("=").name)
    except TypeError:
        return str(array.dtype)[:LONGEST_NAME]


def _size(array: Any) -> int:
    import numpy as np

    try:
        return int(math.prod(array.shape) * np.dtype(array.dtype).itemsize)
    except TypeError:
        return len(array.data)
