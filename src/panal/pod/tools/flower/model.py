"""Hands a model over to the reporter, in one folder for each call of `start`: model.npz, written array by array to save memory, then
model.json. Also checks models: types that cannot be stored, changed types, numbers that are not finite.
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
from ..records import ModelReady
from .journal import Journal
from .judge import NUMPY, not_finite

# numpy's names of the types that safetensors supports.
STORABLE = frozenset({"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float16", "float32", "float64"})
SHOWN = 3  # arrays that are named
LONGEST_NAME = 80


def hand_over(journal: Journal, grid: Any, arrays: Mapping[str, Any], *, round_: int, strategy: str, metrics: Mapping[str, Any]) -> None:
    """Writes `arrays`, the result of `round_`, for the reporter. `metrics` are those of the last round."""
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
    except Exception as error:  # noqa: BLE001  the launcher ends the run with this reason
        journal.stopped(Ending.MODEL_MISSING, f"The model could not be handed over: {error!r}")
        return
    if suspect:
        journal.notice(Doubt.MODEL_SUSPECT, suspect)
    append(ModelReady(start=journal.models, round=round_))


def write_model(folder: Path, arrays: Mapping[str, Any], description: Json) -> None:
    """Writes model.npz and model.json. `arrays` maps names to Flower Arrays; the i-th is `i.npy` in the npz, and `arrays` in model.json
    lists the names in that order."""
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
    """Describes properties that no model should have."""
    import numpy as np

    infinite = [name for name, array in arrays.items() if not_finite(array)]
    if infinite:
        yield f"{named(infinite)} with NaN or infinity"
    negative = [n for n, a in arrays.items() if str(n).endswith("running_var") and a.stype == NUMPY and bool(np.any(a.numpy() < 0))]
    if negative:
        yield f"{named(negative)} with a negative variance"


def named(names: list[str]) -> str:
    """The first names as text, such as `a, b and 3 more`."""
    listed = ", ".join(shown(str(name), LONGEST_NAME) for name in names[:SHOWN])
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed


def unstorable(arrays: Mapping[str, Any]) -> str:
    """Names the arrays whose types safetensors lacks; empty if there are none."""
    return named([f"{shown(str(name), LONGEST_NAME)} ({kind})" for name, array in arrays.items() if (kind := _type(array)) not in STORABLE])


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Describes how the types of a model's arrays changed, and its size; empty if they did not."""
    found = {n: (_type(before[n]), _type(after[n])) for n in before if n in after and _type(before[n]) != _type(after[n])}
    if not found:
        return ""
    listed = named([f"{shown(str(name), LONGEST_NAME)} {old} → {new}" for name, (old, new) in found.items()])
    return f"{listed}: the model's size goes from {sum(map(_size, before.values()))} to {sum(map(_size, after.values()))} bytes"


def _type(array: Any) -> str:
    """numpy's name of an array's type, without byte order; the declared name of a type that numpy lacks."""
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
