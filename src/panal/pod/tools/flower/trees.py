"""Trees of XGBoost models in JSON, counted by class: Flower's bagging may leave some of a reply out, or file them under another class."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

BAGGING = "FedXgbBagging"


def bags(strategy: Any) -> bool:
    """Whether a strategy puts the trees of all replies into one model, as Flower's for XGBoost does."""
    return any(each.__name__ == BAGGING for each in type(strategy).__mro__)


def of_arrays(arrays: Mapping[str, Any] | None) -> Counter[int] | None:
    """The trees in an ArrayRecord of one array; None if there are none to be counted."""
    found = list(arrays.values()) if arrays else []
    return by_class(found[0].numpy().tobytes()) if len(found) == 1 else None


def by_class(model: bytes) -> Counter[int] | None:
    """How many trees a model has for each class. An empty model has none; None if it is not XGBoost's JSON."""
    if not model:
        return Counter()
    try:
        return Counter(json.loads(model)["learner"]["gradient_booster"]["model"]["tree_info"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def lost(before: Counter[int], sent: Iterable[Counter[int]], after: Counter[int]) -> str:
    """What is not in the model of that which it had and was sent; empty if all is."""
    expected = sum(sent, Counter(before))
    if expected == after:
        return ""
    missing, moved = expected.total() - after.total(), (after - expected).total()
    told = []
    if missing > 0:
        told.append(f"{missing} of the {expected.total() - before.total()} trees that the sites sent are not in the model")
    if moved:
        told.append(f"{moved} trees of the sites are in the model under another class")
    return "; ".join(told)


def lost_trees(before: Mapping[str, Any] | None, after: Mapping[str, Any], replies: Iterable[Any]) -> str:
    """The same of ArrayRecords and replies, as a strategy has them."""
    records = [next(iter(reply.content.array_records.values()), None) for reply in replies if not reply.has_error()]
    found = [of_arrays(each) for each in (before, after, *records)]
    counted = [each for each in found if each is not None]
    return lost(counted[0], counted[2:], counted[1]) if len(counted) == len(found) else ""
