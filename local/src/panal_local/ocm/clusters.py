"""The hub's decisions about a ManagedCluster: acceptance, labels, taints while it is unavailable, and its state after the lease expires.

The hub accepts each cluster once, as Open Cluster Management does with auto-approval. A user can deny a cluster afterwards with
spec.hubAcceptsClient: false.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from panal.kube import kinds
from panal.kube.kinds import Kind
from panal.kube.objects import Object, condition
from panal.kube.times import from_time, to_micro_time, to_time
from panal_local.ocm.conditions import Condition, new_condition

CLUSTER_SET_LABEL = "cluster.open-cluster-management.io/clusterset"  # of a ManagedCluster
NAME_LABEL = "open-cluster-management.io/cluster-name"
ACCEPTED_ON = "open-cluster-management.io/automatically-accepted-on"
FINALIZERS = ("cluster.open-cluster-management.io/resource-cleanup", "cluster.open-cluster-management.io/api-resource-cleanup")
UNREACHABLE = "cluster.open-cluster-management.io/unreachable"
ACCEPTED = "HubAcceptedManagedCluster"
AVAILABLE = "ManagedClusterConditionAvailable"
LEASE = "managed-cluster-lease"
GRACE = 5  # lease durations until a cluster counts as lost
LOST = new_condition(AVAILABLE, "Unknown", "ManagedClusterLeaseUpdateStopped", "Registration agent stopped updating its lease.")


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` is a merge patch of metadata and spec. `requeue_after` is the time until the lease expires, in seconds."""

    changes: Object
    conditions: tuple[Condition, ...] = ()
    requeue_after: float | None = None


def decide(cluster: Object, lease: Object | None, now: datetime, grace: float = GRACE) -> Plan:
    """For a cluster that is not being deleted. Conditions are decided only when metadata and spec need no change."""
    changes = _metadata(cluster, now) | _spec(cluster, now)
    if changes:
        return Plan(changes)
    expiry = expires(cluster, lease, grace)
    return Plan({}, tuple(_conditions(cluster, expiry, now)), None if expiry is None or expiry <= now else (expiry - now).total_seconds())


def accepted(cluster: Object) -> bool:
    return bool((cluster.get("spec") or {}).get("hubAcceptsClient"))


def namespace(cluster: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster, "labels": {NAME_LABEL: cluster}}}


def lease(cluster: str, now: datetime) -> Object:
    metadata = {"name": LEASE, "namespace": cluster, "labels": {NAME_LABEL: cluster}}
    spec = {"holderIdentity": LEASE, "renewTime": to_micro_time(now)}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def expires(cluster: Object, lease: Object | None, grace: float = GRACE) -> datetime | None:
    """When the cluster counts as lost unless its agent renews the lease."""
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    return from_time(renewed) + timedelta(seconds=grace * _duration(cluster)) if renewed else None


def lost(cluster: Object) -> tuple[Condition, ...]:
    """The conditions of the add-ons of a cluster whose lease has expired; none for other clusters."""
    available = condition(cluster, AVAILABLE)
    return (
        (new_condition("Available", "Unknown", available["reason"], available["message"]),) if available.get("status") == "Unknown" else ()
    )


# --- metadata and spec ------------------------------------------------------------------------------------------------
def _metadata(cluster: Object, now: datetime) -> Object:
    metadata = cluster["metadata"]
    changes: Object = {}
    if not (metadata.get("labels") or {}).get(CLUSTER_SET_LABEL):
        changes["labels"] = {CLUSTER_SET_LABEL: "default"}
    if _is_new(cluster):
        changes["annotations"] = {ACCEPTED_ON: to_time(now)}
    present = metadata.get("finalizers") or []
    if missing := [f for f in FINALIZERS if f not in present]:
        changes["finalizers"] = [*present, *missing]
    return {"metadata": changes} if changes else {}


def _is_new(cluster: Object) -> bool:
    return ACCEPTED_ON not in (cluster["metadata"].get("annotations") or {}) and not condition(cluster, ACCEPTED)


def _spec(cluster: Object, now: datetime) -> Object:
    spec = cluster.get("spec") or {}
    changes: Object = {}
    if _is_new(cluster) and not accepted(cluster):
        changes["hubAcceptsClient"] = True
    taints = _taints(spec.get("taints") or [], condition(cluster, AVAILABLE).get("status"), now)
    if taints != (spec.get("taints") or []):
        changes["taints"] = taints or None
    return {"spec": changes} if changes else {}


def _taints(present: list[dict[str, Any]], available: str | None, now: datetime) -> list[dict[str, Any]]:
    """Sets the time of each taint, and adds or removes the hub's own taint, which unavailable clusters have."""
    due = available != "True"
    kept = [t if t.get("timeAdded") else t | {"timeAdded": to_time(now)} for t in present if due or t["key"] != UNREACHABLE]
    if due and all(t["key"] != UNREACHABLE for t in kept):
        kept.append({"key": UNREACHABLE, "effect": "NoSelect", "timeAdded": to_time(now)})
    return kept


# --- conditions -------------------------------------------------------------------------------------------------------
def _conditions(cluster: Object, expiry: datetime | None, now: datetime) -> Iterable[Condition]:
    if accepted(cluster):
        yield new_condition(ACCEPTED, True, "HubClusterAdminAccepted", "Accepted by hub cluster admin")
    elif condition(cluster, ACCEPTED):
        yield new_condition(ACCEPTED, False, "HubClusterAdminDenied", "Denied by hub cluster admin")
    if expiry is not None and expiry <= now:
        yield LOST


def _duration(cluster: Object) -> int:
    return int((cluster.get("spec") or {}).get("leaseDurationSeconds") or 60)


# --- deletion ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Step:
    """A step of the deletion of a cluster: first its add-ons, then its works. `done`: its finalizers can be removed."""

    condition: Condition
    delete: tuple[tuple[Kind, Object], ...] = ()
    done: bool = False


def remove(addons: Sequence[Object], works: Sequence[Object]) -> Step:
    for kind, left in ((kinds.MANAGED_CLUSTER_ADDON, addons), (kinds.MANIFEST_WORK, works)):
        if left:
            going = tuple((kind, obj) for obj in left if not obj["metadata"].get("deletionTimestamp"))
            return Step(new_condition("Deleting", False, "ResourceRemaining", f"{len(left)} {kind.plural} remain"), going)
    return Step(new_condition("Deleting", True, "NoResource", "No cleaned resource in cluster ns."), done=True)
