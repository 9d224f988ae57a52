"""Hands the model of a call of `start` over to the reporter, and checks models: types that cannot be stored, changed types, numbers that
are not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from typing import Any

from ..codes import QUERY, Doubt, Ending
from ..files import MODELS, append, run_dir, shown
from ..model import LONGEST_NAME, STORABLE, named, type_name, write_model
from ..records import ModelReady
from .arrays import stored
from .journal import Journal
from .judge import NUMPY, not_finite


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
        numbers = ((str(name), array.numpy()) for name, array in arrays.items())
        write_model(run_dir() / MODELS / str(journal.models), numbers, description)
        suspect = "; ".join(suspicious(arrays))
    except Exception as error:  # noqa: BLE001  the launcher ends the run with this reason
        journal.stopped(Ending.MODEL_MISSING, f"The model could not be handed over: {error!r}")
        return
    if suspect:
        journal.notice(Doubt.MODEL_SUSPECT, suspect)
    append(ModelReady(start=journal.models, round=round_))


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


def unstorable(arrays: Mapping[str, Any]) -> str:
    """Names the arrays whose types safetensors lacks; empty if there are none."""
    types = {str(name): type_name(array) for name, array in arrays.items()}
    return named([f"{shown(name, LONGEST_NAME)} ({kind})" for name, kind in types.items() if kind not in STORABLE])


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Describes how the types of a model's arrays changed, and its size; empty if they did not."""
    types = {n: (type_name(before[n]), type_name(after[n])) for n in before if n in after}
    found = {n: pair for n, pair in types.items() if pair[0] != pair[1]}
    if not found:
        return ""
    listed = named([f"{shown(str(name), LONGEST_NAME)} {old} → {new}" for name, (old, new) in found.items()])
    return f"{listed}: the model's size goes from {sum(map(_size, before.values()))} to {sum(map(_size, after.values()))} bytes"


def _size(array: Any) -> int:
    import numpy as np

    try:
        return int(math.prod(array.shape) * np.dtype(array.dtype).itemsize)
    except TypeError:
        return len(stored(array))
