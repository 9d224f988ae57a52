"""Conditions as Kubernetes keeps them: one of a type; the time is that of the last change of status."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from panal.kube.objects import Object
from panal.kube.times import to_time

Condition = dict[str, Any]


def said(type_: str, status: str | bool, reason: str, message: str = "", generation: int | None = None) -> Condition:
    """A condition without its time, which `merged` gives it."""
    condition: Condition = {"type": type_, "status": str(status), "reason": reason, "message": message}
    return condition | ({"observedGeneration": generation} if generation is not None else {})


def merged(before: Iterable[Condition], news: Iterable[Condition], now: datetime) -> list[Condition]:
    """`before` with what is said anew, in the old order; equal to `before` if nothing is new."""
    result = {c["type"]: c for c in before}
    for new in news:
        old = result.get(new["type"], {})
        since = old.get("lastTransitionTime") if old.get("status") == new["status"] else None
        result[new["type"]] = new | {"lastTransitionTime": since or to_time(now)}
    return list(result.values())


def conditions_of(obj: Object) -> list[Condition]:
    return (obj.get("status") or {}).get("conditions") or []


def condition(obj: Object, type_: str) -> Condition:
    """Empty if there is none of that type."""
    return next((c for c in conditions_of(obj) if c["type"] == type_), {})


def holds(obj: Object, type_: str) -> bool:
    return condition(obj, type_).get("status") == "True"
