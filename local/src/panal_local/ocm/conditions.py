"""Conditions as Kubernetes keeps them: one of a type; the time is that of the last change of status."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from panal.kube.times import to_time

Condition = dict[str, Any]


def said(type_: str, status: str | bool, reason: str, message: str = "", generation: int | None = None) -> Condition:
    """A condition without its time, which `merged` gives it."""
    condition: Condition = {"type": type_, "status": str(status), "reason": reason, "message": message}
    return condition | ({"observedGeneration": generation} if generation is not None else {})


def merged(before: Iterable[Condition], news: Iterable[Condition], now: datetime) -> list[Condition]:
    """`before` with what is said now, in the old order; equal to `before` if nothing is new."""
    result = {c["type"]: c for c in before}
    for new in news:
        old = result.get(new["type"], {})
        since = old.get("lastTransitionTime") if old.get("status") == new["status"] else None
        result[new["type"]] = new | {"lastTransitionTime": since or to_time(now)}
    return list(result.values())
