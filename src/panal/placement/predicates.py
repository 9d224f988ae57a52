"""The predicates of a Placement, compiled once: what a cluster must have, in labels, claims and CEL expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from panal.placement.selectors import Requirement, compile_claims, compile_labels


@dataclass(frozen=True, slots=True)
class Predicate:
    """`path` is its selector's field; `expressions` are of CEL."""

    path: str
    requirements: tuple[Requirement, ...]
    expressions: tuple[str, ...]

    def unmet(self, labels: Mapping[str, str], claims: Mapping[str, str]) -> list[str]:
        """What a cluster with these labels and claims lacks, CEL aside."""
        return [why for r in self.requirements if (why := r.unmet(labels if r.subject == "label" else claims))]


def compile_predicates(spec: Mapping[str, Any]) -> tuple[Predicate, ...]:
    """Those of a Placement's spec. Raises MisconfiguredError."""
    return tuple(_compile(one.get("requiredClusterSelector") or {}, number) for number, one in enumerate(spec.get("predicates") or ()))


def _compile(selector: Mapping[str, Any], number: int) -> Predicate:
    path = f"predicates[{number}].requiredClusterSelector"
    labels = compile_labels(selector.get("labelSelector") or {}, f"{path}.labelSelector")
    claims = compile_claims(selector.get("claimSelector") or {}, f"{path}.claimSelector")
    return Predicate(path, labels + claims, tuple((selector.get("celSelector") or {}).get("celExpressions") or ()))
