"""The two filters of the scheduler: predicates, then taints that the Placement does not tolerate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from panal.placement.hub import Object, claims_of, labels_of, name_of
from panal.placement.selectors import MisconfiguredError, compile_claims, compile_labels
from panal.placement.taints import FOREVER, compile_tolerations, tolerated_until
from panal_local import cel

Test = Callable[[Object], bool]

CEL_REMEDY = "the local platform evaluates standard CEL, without the functions of Kubernetes and Open Cluster Management"


def by_predicates(spec: Mapping[str, Any], clusters: Sequence[Object]) -> Sequence[Object]:
    """The clusters that match any predicate. Predicates are not checked without clusters. Raises MisconfiguredError."""
    predicates = spec.get("predicates") or ()
    if not clusters or not predicates:
        return clusters
    path = "predicates[{}].requiredClusterSelector"
    tests = [_compile(one.get("requiredClusterSelector") or {}, path.format(number)) for number, one in enumerate(predicates)]
    return [cluster for cluster in clusters if any(test(cluster) for test in tests)]


def _compile(selector: Mapping[str, Any], path: str) -> Test:
    """A test that requires all parts of the selector. Raises MisconfiguredError."""
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
    compiled = [_compiled(expression, f"{path}.celExpressions[{number}]") for number, expression in enumerate(expressions)]
    return lambda cluster: all(_true(one, cluster) for one in compiled)


@lru_cache(maxsize=512)
def _compiled(expression: str, path: str) -> Any:
    try:
        return cel.compiled(expression, "managedCluster")
    except cel.CelError as error:
        raise MisconfiguredError(f"{path}: {error} ({CEL_REMEDY})") from error


def matches(expression: str, cluster: Object) -> bool | None:
    """Whether a cluster matches a CEL expression; None if it calls functions that are not available here, or is wrong."""
    try:
        return _true(_compiled(expression, ""), cluster)
    except MisconfiguredError:
        return None


def _true(expression: Any, cluster: Object) -> bool:
    """Whether the expression is true; False if it fails or is not a boolean."""
    try:
        return cel.evaluated(expression, managedCluster=cluster) is True
    except cel.CelError:
        return False


@dataclass(frozen=True, slots=True)
class Tolerated:
    """The clusters whose taints are tolerated. `until` has the times at which tolerations end, by cluster."""

    clusters: Sequence[Object]
    until: Mapping[str, datetime]


def by_taints(spec: Mapping[str, Any], clusters: Sequence[Object], selected: Collection[str], now: datetime) -> Tolerated:
    """Filters by taints at the time `now`. Tolerations are not checked without clusters. Raises MisconfiguredError."""
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
