"""The two filters of the scheduler: predicates, then taints that the Placement does not tolerate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panal.placement.hub import Object, claims_of, labels_of, name_of
from panal.placement.selectors import compile_claims, compile_labels
from panal.placement.taints import FOREVER, compile_tolerations, tolerated_until

Test = Callable[[Object], bool]


def by_predicates(spec: Mapping[str, Any], clusters: Sequence[Object]) -> Sequence[Object]:
    """Those that meet any predicate. Where there is no cluster the predicates are not looked at; raises MisconfiguredError."""
    predicates = spec.get("predicates") or ()
    if not clusters or not predicates:
        return clusters
    path = "predicates[{}].requiredClusterSelector"
    tests = [_compile(one.get("requiredClusterSelector") or {}, path.format(number)) for number, one in enumerate(predicates)]
    return [cluster for cluster in clusters if any(test(cluster) for test in tests)]


def _compile(selector: Mapping[str, Any], path: str) -> Test:
    """All parts of the selector must be met; raises MisconfiguredError."""
    labels = compile_labels(selector.get("labelSelector") or {}, f"{path}.labelSelector")
    claims = compile_claims(selector.get("claimSelector") or {}, f"{path}.claimSelector")
    expressions = _compile_cel(selector.get("celSelector") or {}, f"{path}.celSelector")

    def met(cluster: Object) -> bool:
        by_label, by_claim = labels_of(cluster), claims_of(cluster)
        return all(r.met(by_label) for r in labels) and all(r.met(by_claim) for r in claims) and expressions(cluster)

    return met


def _compile_cel(selector: Mapping[str, Any], path: str) -> Test:
    expressions = selector.get("celExpressions")
    if not expressions:
        return lambda _: True
    from panal.placement.cel import compile_expressions  # its library is no dependency of the hub's controller, which needs no CEL

    return compile_expressions(expressions, f"{path}.celExpressions")


@dataclass(frozen=True, slots=True)
class Tolerated:
    """`until` has the clusters of which a toleration ends, with the earliest such time."""

    clusters: Sequence[Object]
    until: Mapping[str, datetime]


def by_taints(spec: Mapping[str, Any], clusters: Sequence[Object], selected: Collection[str], now: datetime) -> Tolerated:
    """Those whose taints are tolerated at `now`. Where there is no cluster nothing is looked at; raises MisconfiguredError."""
    if not clusters:
        return Tolerated((), {})
    tolerations = compile_tolerations(spec.get("tolerations") or ())
    passed: list[Object] = []
    until: dict[str, datetime] = {}
    for cluster in clusters:
        taints, name = (cluster.get("spec") or {}).get("taints") or (), name_of(cluster)
        end = tolerated_until(taints, tolerations, name in selected, now)
        if end is not None:
            passed.append(cluster)
            until[name] = end
    return Tolerated(passed, {name: end for name, end in until.items() if end < FOREVER})
