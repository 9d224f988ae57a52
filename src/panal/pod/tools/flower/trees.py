"""Counts the trees of XGBoost models by class: Flower's bagging may drop trees of a reply, or assign them to another class."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

BAGGING = "FedXgbBagging"


def is_bagging(strategy: Any) -> bool:
    """Whether the strategy is Flower's bagging for XGBoost, which adds the trees of all replies to one model."""
    return any(each.__name__ == BAGGING for each in type(strategy).__mro__)


def count_arrays(arrays: Mapping[str, Any] | None) -> Counter[int] | None:
    """The number of trees by class in an ArrayRecord of one array; None if it is not such a model."""
    found = list(arrays.values()) if arrays else []
    return count_by_class(found[0].numpy().tobytes()) if len(found) == 1 else None


def count_by_class(model: bytes) -> Counter[int] | None:
    """The number of trees by class in a model in XGBoost's JSON; None for other content. An empty model has no trees."""
    if not model:
        return Counter()
    try:
        return Counter(json.loads(model)["learner"]["gradient_booster"]["model"]["tree_info"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def lost(before: Counter[int], sent: Iterable[Counter[int]], after: Counter[int]) -> str:
    """Describes the trees of `before` and `sent` that `after` lacks; empty if it has all."""
    expected = sum(sent, Counter(before))
    if expected == after:
        return ""
    missing, moved = expected.total() - after.total(), (after - expected).total()
    texts = []
    if missing > 0:
        texts.append(f"{missing} of the {expected.total() - before.total()} trees that the sites sent are not in the model")
    if moved:
        texts.append(f"{moved} trees of the sites are in the model under another class")
    return "; ".join(texts)


def lost_trees(before: Mapping[str, Any] | None, after: Mapping[str, Any], replies: Iterable[Any]) -> str:
    """`lost` for ArrayRecords and replies; empty if they are not XGBoost models in JSON."""
    records = [next(iter(reply.content.array_records.values()), None) for reply in replies if not reply.has_error()]
    found = [count_arrays(each) for each in (before, after, *records)]
    counted = [each for each in found if each is not None]
    return lost(counted[0], counted[2:], counted[1]) if len(counted) == len(found) else ""
