"""Which taints of a cluster a Placement tolerates, by Open Cluster Management's rules.

A taint with effect PreferNoSelect keeps nobody out; one with NoSelectIfNew keeps out only clusters that are not selected already.
The scheduler knows when a taint was set (`tolerated_until`). Who explains may not, so to them a toleration that ends after some
seconds gives no certain answer (`keeping_out`). An operator that nobody knows is no mistake: the toleration matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from panal.placement.selectors import MisconfiguredError

Taint = tuple[str, str, str]  # key, value, effect
FOREVER, NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    operator: str
    value: str
    effect: str
    seconds: int | None

    def matches(self, taint: Taint) -> bool:
        key, value, effect = taint
        if self.effect not in ("", effect) or self.key not in ("", key):
            return False
        return self.operator == "Exists" or (self.operator == "Equal" and self.value == value)


def compile_tolerations(tolerations: Iterable[Mapping[str, Any]]) -> tuple[Toleration, ...]:
    """Raises MisconfiguredError where one is wrong in itself."""
    return tuple(_compile(toleration, f"tolerations[{number}]") for number, toleration in enumerate(tolerations))


def _compile(raw: Mapping[str, Any], path: str) -> Toleration:
    operator = raw.get("operator") or "Equal"
    toleration = Toleration(raw.get("key") or "", operator, raw.get("value") or "", raw.get("effect") or "", raw.get("tolerationSeconds"))
    if operator != "Exists" and not toleration.key:
        raise MisconfiguredError(f"{path}.key: missing; a toleration without a key needs operator Exists")
    if operator == "Exists" and toleration.value:
        raise MisconfiguredError(f"{path}.value: operator Exists takes no value")
    return toleration


def keeping_out(taints: Iterable[Taint], tolerations: Sequence[Toleration], selected: bool) -> tuple[list[Taint], list[Taint]]:
    """The taints that surely keep the cluster out, and those that do so after a while; `selected`: it is in the decisions already."""
    surely: list[Taint] = []
    later: list[Taint] = []
    for taint in taints:
        if _harmless(taint[2], selected):
            continue
        matching = [toleration for toleration in tolerations if toleration.matches(taint)]
        if not matching:
            surely.append(taint)
        elif all(toleration.seconds is not None for toleration in matching):
            later.append(taint)
    return surely, later


def _harmless(effect: str, selected: bool) -> bool:
    return effect == "PreferNoSelect" or (effect == "NoSelectIfNew" and selected)


def tolerated_until(
    taints: Iterable[Mapping[str, Any]], tolerations: Sequence[Toleration], selected: bool, now: datetime
) -> datetime | None:
    """When the first toleration that counts ends: FOREVER if none does. None: not tolerated at `now`.

    For each taint the first toleration counts that matches and has not ended.
    """
    ends = FOREVER
    for taint in taints:
        if _harmless(taint["effect"], selected):
            continue
        end = next((end for each in tolerations if (end := _end(each, taint)) > now), None)
        if end is None:
            return None
        ends = min(ends, end)
    return ends


def _end(toleration: Toleration, taint: Mapping[str, Any]) -> datetime:
    """NEVER if it does not match; a taint without a time was set at the beginning of time."""
    if not toleration.matches((taint["key"], taint.get("value") or "", taint["effect"])):
        return NEVER
    if toleration.seconds is None:
        return FOREVER
    added = taint.get("timeAdded")
    try:
        return datetime.fromisoformat(added) + timedelta(seconds=toleration.seconds) if added else NEVER
    except OverflowError:
        return FOREVER
