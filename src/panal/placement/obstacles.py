"""What keeps a cluster out of a Placement's decisions, in words, with the field that decides and what would remove the obstacle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from panal.placement.changes import Change, Gap
from panal.placement.hub import Object, claims_of
from panal.placement.predicates import Predicate
from panal.placement.prioritizers import Scored
from panal.placement.selectors import shorten, shown
from panal.placement.taints import FOREVER, Toleration, tolerated_until

GROUP = "cluster.open-cluster-management.io"
# Taints by Open Cluster Management, and what the cluster has lost.
LOST = {f"{GROUP}/unreachable": "connection to the hub", f"{GROUP}/unavailable": "Kubernetes API server"}
# Claims that Open Cluster Management reports in any case. Of the others it reports the first MOST_CLAIMS by name.
RESERVED_CLAIMS = frozenset(
    {"id.k8s.io", *(f"{name}.open-cluster-management.io" for name in ("kubeversion", "platform", "product"))},
)
MOST_CLAIMS, MANY_CLAIMS = 20, 18
CEL_REMEDY = "Change what the expressions ask for."


class Cause(StrEnum):
    PLACEMENT = "Placement"
    CLUSTER_SET = "ClusterSet"
    LABEL = "Label"
    CLAIM = "Claim"
    CEL = "Cel"
    TAINT = "Taint"
    DELETING = "Deleting"
    SCORE = "Score"
    NOT_ACCEPTED = "NotAccepted"  # this and the following: the run leaves out a cluster that is selected
    ADDON = "Addon"
    DATA = "Data"
    POLICY = "Policy"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`field` is that of the Placement's spec that decides; empty for none. `why` follows the cluster's name. `change` is for programs."""

    cause: Cause
    field: str
    why: str
    remedy: str
    change: Change | None = None


def of_gap(gap: Gap, outside: str) -> Obstacle:
    """`outside`: what is said of a cluster that is not in the set; empty if it is."""
    first = gap.unmet[0]
    if outside:
        return Obstacle(Cause.CLUSTER_SET, "clusterSets", outside, _remedy(gap), gap.change)
    cause = Cause.LABEL if first.subject == "label" else Cause.CLAIM
    return Obstacle(cause, first.path, _why(gap), _remedy(gap), gap.change)


def _why(gap: Gap) -> str:
    first = gap.unmet[0]
    if first.operator in ("Exists", "DoesNotExist"):
        return f"{'lacks' if first.operator == 'Exists' else 'has'} {first.subject} {first.key}"
    relation = "one of" if first.operator == "In" else "none of"
    return f"has not {first.subject} {first.key} with {relation} the values {shown(first.values)}"


def _remedy(gap: Gap) -> str:
    first, change = gap.unmet[0], gap.change
    if change is None:
        return f"No value meets the requirements on {first.subject} {first.key}: correct spec.client.placement.{first.path}."
    if first.subject == "claim":
        return _claim_remedy(change)
    if change.action == "remove":
        return f"Remove the label {change.key} of the ManagedCluster."
    return f"Set the label {change.key}={change.value or 'VALUE'} of the ManagedCluster."


def _claim_remedy(change: Change) -> str:
    if change.action == "remove":
        return f"Delete the ClusterClaim {change.key} on the cluster."
    return f"Create the ClusterClaim {change.key} on the cluster" + (f" with the value {change.value}." if change.value else ".")


# --- CEL -------------------------------------------------------------------------------------------------------------
def of_cel(predicate: Predicate) -> Obstacle:
    return Obstacle(Cause.CEL, f"{predicate.path}.celSelector", "does not match celSelector", CEL_REMEDY)


def unevaluated(predicate: Predicate) -> Obstacle:
    remedy = "Open Cluster Management decides when the run exists; with panal-local installed, panal evaluates standard CEL."
    return Obstacle(Cause.CEL, f"{predicate.path}.celSelector", "celSelector is not evaluated", remedy)


def told_by_decision(obstacle: Obstacle) -> Obstacle:
    """Of a cluster that was not selected although there was room."""
    if obstacle.cause is not Cause.CEL:
        return obstacle
    return replace(obstacle, why="does not match celSelector, by the decision of Open Cluster Management", remedy=CEL_REMEDY)


def about_cel(predicates: Sequence[Predicate]) -> Iterator[str]:
    if any(".scores(" in expression for predicate in predicates for expression in predicate.expressions):
        yield "scores(…) in celSelector also returns scores that have expired; as a prioritizer they count as 0"


# --- taints and deletion ---------------------------------------------------------------------------------------------
def deleting(cluster: Object) -> list[Obstacle]:
    if not cluster["metadata"].get("deletionTimestamp"):
        return []
    return [Obstacle(Cause.DELETING, "", "is being deleted", "Join the cluster again.")]


def of_taints(cluster: Object, tolerations: Sequence[Toleration], selected: bool, now: datetime) -> tuple[list[Obstacle], tuple[str, ...]]:
    """The taints that keep the cluster out, and notes about those that are tolerated for a time."""
    found: list[Obstacle] = []
    notes: list[str] = []
    for taint in (cluster.get("spec") or {}).get("taints") or ():
        until = tolerated_until((taint,), tolerations, selected, now)
        if until is None:
            found.append(_of_taint(taint, tolerations))
        elif until < FOREVER:
            notes.append(f"the taint {_written(taint)} is tolerated until {until:%Y-%m-%dT%H:%M:%SZ}")
    return found, tuple(notes)


def _of_taint(taint: Mapping[str, Any], tolerations: Sequence[Toleration]) -> Obstacle:
    key, value = taint["key"], taint.get("value") or ""
    was = any(each.matches((key, value, taint["effect"])) for each in tolerations)
    why = f"is tainted {_written(taint)}" + (", longer than is tolerated" if was else "")
    remedy = "Remove the taint, or tolerate it in spec.client.placement.tolerations."
    if key in LOST:
        remedy = f"Check the cluster's {LOST[key]}: Open Cluster Management removes the taint when the cluster is available again."
    return Obstacle(Cause.TAINT, "tolerations", why, remedy, Change("remove", "taint", key, value or None))


def _written(taint: Mapping[str, Any]) -> str:
    value = taint.get("value") or ""
    return f"{taint['key']}{f'={shorten(value)}' if value else ''}:{taint['effect']}"


# --- scores ----------------------------------------------------------------------------------------------------------
def outscored(number: int, rank: int) -> Obstacle:
    why = f"qualifies, but numberOfClusters is {number}, and so many others come before it by score and name"
    path = "spec.client.placement.numberOfClusters"
    remedy = f"Raise {path} to its rank, or change the scores."
    return Obstacle(Cause.SCORE, "numberOfClusters", why, remedy, Change("set", "field", path, str(rank)))


def doubtful_rank(number: int) -> Obstacle:
    why = f"qualifies, but numberOfClusters is {number}, and celSelector, which is not evaluated, decides who else qualifies"
    return Obstacle(Cause.CEL, "numberOfClusters", why, "Open Cluster Management decides when the run exists.")


def about_scores(spec: Mapping[str, Any], given: Sequence[Scored]) -> Iterator[str]:
    """Hints about a policy that may not mean what its author wants."""
    policy = spec.get("prioritizerPolicy") or {}
    own = [str(e.coordinate) for e in given if e.coordinate.item is not None or e.coordinate.name.startswith("ResourceAllocatable")]
    if own and policy.get("mode") != "Exact" and any(e.coordinate.name == "Balance" and not e.coordinate.field for e in given):
        yield (
            f"Balance counts beside {', '.join(own)} and may outweigh it: to select by the listed scores alone, set "
            "spec.client.placement.prioritizerPolicy.mode to Exact"
        )
    if own and spec.get("numberOfClusters") and not any(each.coordinate.name == "Steady" for each in given):
        yield (
            "without Steady, Open Cluster Management exchanges clusters during the run when scores change: add Steady, with weight 10, to "
            "spec.client.placement.prioritizerPolicy.configurations"
        )
    if any(each.coordinate.name == "Steady" and each.weight < 0 for each in given):
        yield "Steady has a negative weight: Open Cluster Management exchanges the clusters each time it schedules"


# --- claims ----------------------------------------------------------------------------------------------------------
def hidden_claims(cluster: Object) -> int:
    """How many custom claims the cluster reports, if more of them may exist on it; else 0."""
    own = claims_of(cluster).keys() - RESERVED_CLAIMS
    return len(own) if len(own) >= MANY_CLAIMS else 0


def about_hidden_claims(reported: int) -> str:
    return (
        f"reports {reported} custom claims: Open Cluster Management reports the first {MOST_CLAIMS} by name, so the claim may exist on the "
        "cluster and be missing here. Use one claim for each group of datasets, with a name early in the alphabet"
    )
