"""Which taints of a cluster a Placement tolerates, by Open Cluster Management's rules.

A taint with effect PreferNoSelect keeps nobody out; one with NoSelectIfNew keeps out only clusters that are not selected already.
When a taint was set is not known here, so a toleration that ends after some seconds gives no certain answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.placement.selectors import MisconfiguredError

Taint = tuple[str, str, str]  # key, value, effect


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    operator: str
    value: str
    effect: str
    seconds: int | None

    def matches(self, taint: Taint) -> bool:
        key, value, effect = taint
        return self.effect in ("", effect) and (not self.key or self.key == key) and (self.operator == "Exists" or self.value == value)


def compile_tolerations(tolerations: Iterable[Mapping[str, Any]]) -> tuple[Toleration, ...]:
    """Raises MisconfiguredError where one is wrong in itself."""
    return tuple(_compile(toleration, f"tolerations[{number}]") for number, toleration in enumerate(tolerations))


def _compile(raw: Mapping[str, Any], path: str) -> Toleration:
    operator = raw.get("operator") or "Equal"
    toleration = Toleration(raw.get("key") or "", operator, raw.get("value") or "", raw.get("effect") or "", raw.get("tolerationSeconds"))
    if operator not in ("Equal", "Exists"):
        raise MisconfiguredError(f"{path}.operator: {operator} is neither Equal nor Exists")
    if operator == "Equal" and not toleration.key:
        raise MisconfiguredError(f"{path}.key: missing; a toleration without a key needs operator Exists")
    if operator == "Exists" and toleration.value:
        raise MisconfiguredError(f"{path}.value: operator Exists takes no value")
    return toleration


def keeping_out(taints: Iterable[Taint], tolerations: Sequence[Toleration], selected: bool) -> tuple[list[Taint], list[Taint]]:
    """The taints that surely keep the cluster out, and those that do so after a while; `selected`: it is in the decisions already."""
    surely: list[Taint] = []
    later: list[Taint] = []
    for taint in taints:
        if taint[2] == "PreferNoSelect" or (taint[2] == "NoSelectIfNew" and selected):
            continue
        matching = [toleration for toleration in tolerations if toleration.matches(taint)]
        if not matching:
            surely.append(taint)
        elif all(toleration.seconds is not None for toleration in matching):
            later.append(taint)
    return surely, later
