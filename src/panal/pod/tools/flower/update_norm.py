"""Refuses updates whose norm is beyond `spec.server.replies.largestUpdateNorm`.

The update of a site is the difference between the arrays that it returns and those that it was sent, over all floating-point arrays.
Integers, such as the batches that BatchNorm counts, are left out. A reply of which that norm cannot be reckoned is refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from ..codes import Refused
from ..files import RunError
from .blocks import squared_norm
from .codes import FlowerEnding
from .journal import Journal
from .judge import Verdict, announced
from .methods import FLOATS

FIELD = "spec.server.replies.largestUpdateNorm"
WITHOUT_NORM = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def largest_norm() -> float | None:
    """The limit of the run; None if it has none."""
    text = os.environ.get("PANAL_LARGEST_UPDATE_NORM")
    return float(text) if text else None


def refuse(journal: Journal, why: str) -> None:
    """Raises RunError if the run has a limit."""
    if largest_norm() is not None:
        message = f"{FIELD} is not possible: {why}"
        journal.stopped(FlowerEnding.AGGREGATION_NOT_POSSIBLE, message)
        raise RunError(FlowerEnding.AGGREGATION_NOT_POSSIBLE, message)


def too_large(sent: Any, got: Any, limit: float) -> Verdict | None:
    """Why the update that a valid reply with the content `got` makes to the content `sent` is refused; None if it is not."""
    before, after = _arrays(sent), _arrays(got)
    if why := _unknown(before, after):
        return Refused.ARRAYS_DIFFER, f"the norm of its update is unknown, because {why} ({FIELD})"
    norm = math.sqrt(sum(squared_norm(before[where], array) for where, array in after.items() if announced(array)[0] in FLOATS))
    if norm <= limit:  # not if it is NaN
        return None
    return Refused.UPDATE_TOO_LARGE, f"the norm of its update is {norm:.4g}, more than {limit:g} ({FIELD})"


def _arrays(content: Any) -> dict[tuple[str, str], Any]:
    return {(r, name): array for r, record in content.array_records.items() for name, array in record.items()}


def _unknown(sent: Mapping[tuple[str, str], Any], got: Mapping[tuple[str, str], Any]) -> str:
    """Why there is no norm. An array may have become an integer, or a float, since the average of integers is one."""
    if sent.keys() != got.keys():
        return "its arrays are not those that were sent"
    described = {where: announced(array) for where, array in got.items()}
    if other := next((w for w, (_, shape) in described.items() if shape != announced(sent[w])[1]), None):
        return f"{other[0][:40]}/{other[1][:60]} has another shape"
    if other := next((w for w, (kind, _) in described.items() if kind not in (*FLOATS, *WITHOUT_NORM)), None):
        return f"{other[0][:40]}/{other[1][:60]} is {described[other][0][:40]}"
    return "" if any(kind in FLOATS for kind, _ in described.values()) else "it has no floating-point arrays"
