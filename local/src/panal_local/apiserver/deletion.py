"""Deletion: preconditions, grace periods of Pods, finalizers, and the metadata of an object that is being deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from panal.kube.times import to_time
from panal_local.apiserver import errors
from panal_local.apiserver.admission import drop_empty_metadata
from panal_local.apiserver.requests import Call

Object = dict[str, Any]
POLICIES = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}  # propagation: the finalizer that the garbage collector acts on


def preconditions(call: Call, obj: Object, options: Object) -> None:
    wanted, metadata = options.get("preconditions") or {}, obj["metadata"]
    for name in ("uid", "resourceVersion"):
        if wanted.get(name) and str(wanted[name]) != metadata[name]:
            why = f"Precondition failed: {name} in precondition: {wanted[name]}, {name} in object meta: {metadata[name]}"
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, why)


def mark(obj: Object, options: Object, now: datetime) -> None:
    """Marks the object as being deleted, in place."""
    metadata, policy = obj["metadata"], options.get("propagationPolicy")
    if policy and not metadata.get("deletionTimestamp"):
        kept = [f for f in metadata.get("finalizers") or () if f not in POLICIES.values()]
        metadata["finalizers"] = [*kept, *([POLICIES[policy]] if policy in POLICIES else [])]
    drop_empty_metadata(metadata)
    if obj["kind"] == "Pod" or not is_removable(obj):
        _set_deletion_time(obj, _grace(obj, options), now)
    if obj["kind"] == "Namespace":
        obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}


def _grace(obj: Object, options: Object) -> int:
    """The grace period of a Pod in seconds; 0 for other kinds."""
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    if obj["kind"] != "Pod" or not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    asked = options.get("gracePeriodSeconds")
    grace = int(asked if asked is not None else spec.get("terminationGracePeriodSeconds", 30))
    return grace if grace >= 0 else 1


def _set_deletion_time(obj: Object, grace: int, now: datetime) -> None:
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata:
        metadata["generation"] = metadata.get("generation", 0) + 1
    elif grace >= metadata.get("deletionGracePeriodSeconds", 0):
        return
    metadata["deletionTimestamp"] = to_time(now + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace


def is_removable(obj: Object) -> bool:
    metadata = obj["metadata"]
    held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    return not held and not (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
