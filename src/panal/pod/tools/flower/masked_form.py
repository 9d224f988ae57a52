"""The form of a masked reply, for both sides, and the mean that the aggregator reckons from the replies of all sites.

A masked reply has the arrays of the reply: floats as uint64, others without content. Two records are added: the weight, and for each metric
its product with the weight, and the weight (two zeros if the metric is not finite). All of them are added up and unmasked in one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..secure_aggregation.fixed_point import decoded
from ..secure_aggregation.masks import Masks
from .blocks import Numbers, blocks
from .judge import announced
from .methods import FLOATS
from .private import Arrays, arrays_of

SECURE = "panal-secure"  # the ConfigRecord of the protocol in a message or reply
OURS = "panal-"  # begins the names of records of panal
WEIGHT, METRICS = "panal-weight:", "panal-metrics:"  # begin the names of the two records
MASKED, KEPT = "uint64", "int8"  # types of the arrays that are masked, and of those that stay as in the message

Where = tuple[str, str]


def order(arrays: Iterable[Where]) -> list[Where]:
    """In which arrays are masked: the weight first."""
    return sorted(arrays, key=lambda where: (not where[0].startswith(WEIGHT), where))


def trouble(sent: Arrays, content: Any) -> str:
    """What is wrong with the form of a masked reply to a message that brought `sent`; empty if nothing is."""
    found = {where: announced(array) for where, array in arrays_of(content).items()}
    if sum(where[0].startswith(WEIGHT) for where in found) != 1:
        return "it has no weight"
    for where, (kind, shape) in found.items():
        ours = where[0].startswith((WEIGHT, METRICS))
        wanted = ((1,) if where[0].startswith(WEIGHT) else (2,)) if ours else tuple(sent[where].shape) if where in sent else None
        if (kind, shape) == (KEPT, (0,)) and where in sent:
            continue
        if kind != MASKED or shape != wanted:
            return f"{where[0][:40]}/{where[1][:60]} is {kind[:20]} {shape}, and is not masked"
    return ""


@dataclass(frozen=True)
class Mean:
    """The weighted mean of the replies. `weight`: the sum of the weights."""

    arrays: Mapping[str, Any]  # ArrayRecords
    metrics: Mapping[str, Mapping[str, float]]
    weight: float
    weight_of: Where


class NoWeightError(ArithmeticError):
    """The weights add up to 0."""


def mean(sent: Arrays, contents: Sequence[Any], masks: Masks) -> Mean:
    """`contents`: masked replies of one form, to messages that brought `sent`. `masks`: what is added to their sum to unmask it. Raises
    NoWeightError."""
    import numpy as np

    replies = [arrays_of(content) for content in contents]
    made: dict[Where, Any] = {}
    metrics: dict[str, dict[str, float]] = {}
    weight, weight_of = 0.0, ("", "")
    for where in order(w for w, array in replies[0].items() if announced(array)[0] == MASKED):
        arrays = [reply[where] for reply in replies]
        if where[0].startswith(WEIGHT):
            weight, weight_of = float(_sum(arrays, masks)[0]), (where[0].removeprefix(WEIGHT), where[1])
            if not weight > 0:
                raise NoWeightError("the weights of all replies add up to 0")
        elif where[0].startswith(METRICS):
            product, of = map(float, _sum(arrays, masks))
            metrics.setdefault(where[0].removeprefix(METRICS), {})[where[1]] = product / of if of > 0 else np.nan
        else:
            made[where] = _added(sent[where], arrays, masks, weight)
    records: dict[str, dict[str, Any]] = {}
    for where in (w for w in replies[0] if not w[0].startswith((WEIGHT, METRICS))):
        records.setdefault(where[0], {})[where[1]] = made[where] if where in made else sent[where]
    kind = type(next(iter(contents[0].array_records.values())))
    return Mean({name: kind(found) for name, found in records.items()}, metrics, weight, weight_of)


def _sum(arrays: Sequence[Any], masks: Masks) -> Any:
    return _unmasked(next(rows for _, rows in blocks(arrays)), masks)


def _unmasked(rows: Any, masks: Masks) -> Any:
    """The unmasked sum of masked rows, as float64."""
    import numpy as np

    total = rows.sum(axis=0, dtype=np.uint64)
    masks.add_to(total)
    return decoded(total)


def _added(sent: Any, arrays: Sequence[Any], masks: Masks, weight: float) -> Any:
    """The array of the message, and the mean of the updates. An array of the message's type; float64 if that is no float."""
    import numpy as np

    before = Numbers(sent)
    dtype = before.dtype.newbyteorder("=") if str(before.dtype) in FLOATS else np.dtype(np.float64)
    most = float(np.finfo(dtype).max)
    found = np.empty(before.count, dtype)
    for at, rows in blocks(arrays):
        count = rows.shape[1]
        values = before.part(at, count).astype(np.float64) + _unmasked(rows, masks) / weight
        found[at : at + count] = values.clip(-most, most)  # rounding may lead beyond the largest float
    return type(sent).from_numpy_ndarray(found.reshape(before.shape))
