"""Conditions: one of each type, with the time of the last change of the status."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from panal.kube.times import to_time

Condition = dict[str, Any]


def new_condition(type_: str, status: str | bool, reason: str, message: str = "") -> Condition:
    """A condition without a time, which `merge_conditions` sets."""
    return {"type": type_, "status": str(status), "reason": reason, "message": message}


def merge_conditions(before: Iterable[Condition], updates: Iterable[Condition], now: datetime) -> list[Condition]:
    """`before` with the updates, in the same order; equal to `before` if nothing changed."""
    result = {c["type"]: c for c in before}
    for new in updates:
        old = result.get(new["type"], {})
        since = old.get("lastTransitionTime") if old.get("status") == new["status"] else None
        result[new["type"]] = new | {"lastTransitionTime": since or to_time(now)}
    return list(result.values())
