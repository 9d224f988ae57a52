"""A ManagedCluster as the hub's controllers treat it: accepted, labelled, tainted while it is away, known to be lost when its lease ends.

The hub of the local platform accepts every cluster once, as Open Cluster Management does where auto-acceptance is on. Who denies a
cluster afterwards (spec.hubAcceptsClient: false) is obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from panal.kube.objects import Object, condition
from panal.kube.times import from_time, to_micro_time, to_time
from panal_local.ocm.conditions import Condition, said

CLUSTER_SET_LABEL = "cluster.open-cluster-management.io/clusterset"  # of a ManagedCluster
NAME_LABEL = "open-cluster-management.io/cluster-name"
ADDON_LABEL = "feature.open-cluster-management.io/addon-"
ACCEPTED_ON = "open-cluster-management.io/automatically-accepted-on"
FINALIZERS = ("cluster.open-cluster-management.io/resource-cleanup", "cluster.open-cluster-management.io/api-resource-cleanup")
UNREACHABLE = "cluster.open-cluster-management.io/unreachable"
UNAVAILABLE = "cluster.open-cluster-management.io/unavailable"
ACCEPTED = "HubAcceptedManagedCluster"
AVAILABLE = "ManagedClusterConditionAvailable"
CLOCK_SYNCED = "ManagedClusterConditionClockSynced"
LEASE = "managed-cluster-lease"
GRACE = 5  # times the lease's duration
FEATURES = {"True": "available", "False": "unhealthy"}
LOST = said(AVAILABLE, "Unknown", "ManagedClusterLeaseUpdateStopped", "Registration agent stopped updating its lease.")


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` is a merge patch of metadata and spec. `look_again` is in seconds: when the lease ends."""

    changes: Object
    conditions: tuple[Condition, ...] = ()
    look_again: float | None = None


def decide(cluster: Object, lease: Object | None, addons: Iterable[Object], now: datetime, grace: float = GRACE) -> Plan:
    """For a cluster that is not being deleted. While its metadata or spec is to change, nothing else is decided."""
    changes = _metadata(cluster, addons, now) | _spec(cluster, now)
    if changes:
        return Plan(changes)
    expiry = expires(cluster, lease, grace)
    return Plan(
        {}, tuple(_conditions(cluster, lease, expiry, now)), None if expiry is None or expiry <= now else (expiry - now).total_seconds()
    )


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
def _metadata(cluster: Object, addons: Iterable[Object], now: datetime) -> Object:
    metadata = cluster["metadata"]
    changes: Object = {}
    if labels := _labels(cluster, addons):
        changes["labels"] = labels
    if _is_new(cluster):
        changes["annotations"] = {ACCEPTED_ON: to_time(now)}
    present = metadata.get("finalizers") or []
    if missing := [f for f in FINALIZERS if f not in present]:
        changes["finalizers"] = [*present, *missing]
    return {"metadata": changes} if changes else {}


def _is_new(cluster: Object) -> bool:
    return ACCEPTED_ON not in (cluster["metadata"].get("annotations") or {}) and not condition(cluster, ACCEPTED)


def _labels(cluster: Object, addons: Iterable[Object]) -> dict[str, str | None]:
    """A cluster is in a set, by default in `default`; and it tells how its add-ons are."""
    labels = cluster["metadata"].get("labels") or {}
    wanted: dict[str, str | None] = {} if labels.get(CLUSTER_SET_LABEL) else {CLUSTER_SET_LABEL: "default"}
    if condition(cluster, AVAILABLE):
        wanted |= dict.fromkeys(label for label in labels if label.startswith(ADDON_LABEL))
        for addon in addons:
            wanted[ADDON_LABEL + addon["metadata"]["name"]] = FEATURES.get(condition(addon, "Available").get("status", ""), "unreachable")
    return {name: value for name, value in wanted.items() if labels.get(name) != value}


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
    """Every taint has the time when it was set; of the two that the hub sets itself, the one that is due."""
    due = {"True": "", "False": UNAVAILABLE}.get(available or "", UNREACHABLE)
    kept = [
        t if t.get("timeAdded") else t | {"timeAdded": to_time(now)} for t in present if t["key"] not in {UNREACHABLE, UNAVAILABLE} - {due}
    ]
    if due and all(t["key"] != due for t in kept):
        kept.append({"key": due, "effect": "NoSelect", "timeAdded": to_time(now)})
    return kept


# --- conditions -------------------------------------------------------------------------------------------------------
def _conditions(cluster: Object, lease: Object | None, expiry: datetime | None, now: datetime) -> Iterable[Condition]:
    if accepted(cluster):
        yield said(ACCEPTED, True, "HubClusterAdminAccepted", "Accepted by hub cluster admin")
    elif condition(cluster, ACCEPTED):
        yield said(ACCEPTED, False, "HubClusterAdminDenied", "Denied by hub cluster admin")
    if expiry is None or lease is None:
        return
    if expiry <= now:
        yield LOST
    elif condition(cluster, AVAILABLE):
        yield _clock(abs(from_time(lease["spec"]["renewTime"]) - now) < timedelta(seconds=GRACE * _duration(cluster)))


def _clock(synced: bool) -> Condition:
    if synced:
        return said(CLOCK_SYNCED, True, "ManagedClusterClockSynced", "The clock of the managed cluster is synced with the hub.")
    message = "The clock of hub and agent is out of sync. This may cause the Unknown status and affect agent functionalities."
    return said(CLOCK_SYNCED, False, "ManagedClusterClockOutOfSync", message)


def _duration(cluster: Object) -> int:
    return int((cluster.get("spec") or {}).get("leaseDurationSeconds") or 60)
