"""A ManagedCluster as the hub's controllers treat it: accepted, labelled, tainted while it is away, known to be lost when its lease ends.

The hub of the local platform accepts every cluster once, as Open Cluster Management does where auto-acceptance is on. Who denies a
cluster afterwards (spec.hubAcceptsClient: false) is obeyed.
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
from panal_local.ocm.conditions import Condition, said

CLUSTER_SET_LABEL = "cluster.open-cluster-management.io/clusterset"  # of a ManagedCluster
NAME_LABEL = "open-cluster-management.io/cluster-name"
ACCEPTED_ON = "open-cluster-management.io/automatically-accepted-on"
FINALIZERS = ("cluster.open-cluster-management.io/resource-cleanup", "cluster.open-cluster-management.io/api-resource-cleanup")
UNREACHABLE = "cluster.open-cluster-management.io/unreachable"
ACCEPTED = "HubAcceptedManagedCluster"
AVAILABLE = "ManagedClusterConditionAvailable"
LEASE = "managed-cluster-lease"
GRACE = 5  # times the lease's duration
LOST = said(AVAILABLE, "Unknown", "ManagedClusterLeaseUpdateStopped", "Registration agent stopped updating its lease.")


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` is a merge patch of metadata and spec. `look_again` is in seconds: when the lease ends."""

    changes: Object
    conditions: tuple[Condition, ...] = ()
    look_again: float | None = None


def decide(cluster: Object, lease: Object | None, now: datetime, grace: float = GRACE) -> Plan:
    """For a cluster that is not being deleted. While its metadata or spec is to change, nothing else is decided."""
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
    """When the cluster counts as lost if its agent says nothing more."""
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    return from_time(renewed) + timedelta(seconds=grace * _duration(cluster)) if renewed else None


def lost(cluster: Object) -> tuple[Condition, ...]:
    """What is to be said of the add-ons of a cluster that is away."""
    available = condition(cluster, AVAILABLE)
    return (said("Available", "Unknown", available["reason"], available["message"]),) if available.get("status") == "Unknown" else ()


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
    """Every taint has the time when it was set; the hub's own is there while the cluster is not available."""
    due = available != "True"
    kept = [t if t.get("timeAdded") else t | {"timeAdded": to_time(now)} for t in present if due or t["key"] != UNREACHABLE]
    if due and all(t["key"] != UNREACHABLE for t in kept):
        kept.append({"key": UNREACHABLE, "effect": "NoSelect", "timeAdded": to_time(now)})
    return kept


# --- conditions -------------------------------------------------------------------------------------------------------
def _conditions(cluster: Object, expiry: datetime | None, now: datetime) -> Iterable[Condition]:
    if accepted(cluster):
        yield said(ACCEPTED, True, "HubClusterAdminAccepted", "Accepted by hub cluster admin")
    elif condition(cluster, ACCEPTED):
        yield said(ACCEPTED, False, "HubClusterAdminDenied", "Denied by hub cluster admin")
    if expiry is not None and expiry <= now:
        yield LOST


def _duration(cluster: Object) -> int:
    return int((cluster.get("spec") or {}).get("leaseDurationSeconds") or 60)


# --- the end of a cluster ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Step:
    """Towards the end of a deleted cluster: its add-ons go, then its works, then it. `done`: its finalizers can go."""

    condition: Condition
    delete: tuple[tuple[Kind, Object], ...] = ()
    done: bool = False


def remove(addons: Sequence[Object], works: Sequence[Object]) -> Step:
    for kind, left in ((kinds.MANAGED_CLUSTER_ADDON, addons), (kinds.MANIFEST_WORK, works)):
        if left:
            going = tuple((kind, obj) for obj in left if not obj["metadata"].get("deletionTimestamp"))
            return Step(said("Deleting", False, "ResourceRemaining", f"{len(left)} {kind.plural} remain"), going)
    return Step(said("Deleting", True, "NoResource", "No cleaned resource in cluster ns."), done=True)
