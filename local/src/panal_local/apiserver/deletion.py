"""Deletion, by and by: conditions, a Pod's grace, what finalizers hold back, and what is said on the object meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from panal.kube.times import to_time
from panal_local.apiserver import errors
from panal_local.apiserver.admission import tidy
from panal_local.apiserver.requests import Call

Object = dict[str, Any]
RETURNED = {"Pod", "Service", "PersistentVolumeClaim", "PersistentVolume", "ServiceAccount"}  # a DELETE answers with them


def preconditions(call: Call, obj: Object, options: Object) -> None:
    wanted, metadata = options.get("preconditions") or {}, obj["metadata"]
    for name, called in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(name) and str(wanted[name]) != metadata[name]:
            why = f"Precondition failed: {called} in precondition: {wanted[name]}, {called} in object meta: {metadata[name]}"
            if call.resource.custom and name == "uid":
                why = f"the UID in the precondition ({wanted[name]}) does not match the UID in record ({metadata[name]})."
                why += " The object might have been deleted and then recreated"
            raise errors.conflict(call.resource.group, call.resource.kind if call.resource.custom else call.resource.plural, call.name, why)


def grace(obj: Object, options: Object) -> int:
    """Seconds that a Pod has for its end; 0 for everything else."""
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    if obj["kind"] != "Pod" or not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    asked = options.get("gracePeriodSeconds")
    grace = int(asked if isinstance(asked, int) else spec.get("terminationGracePeriodSeconds", 30))
    return grace if grace >= 0 else 1


def propagation(obj: Object, options: Object) -> None:
    policy, metadata = options.get("propagationPolicy"), obj["metadata"]
    if options.get("orphanDependents") is True:
        policy = "Orphan"
    wanted = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(str(policy))
    finalizers = metadata.get("finalizers") or []
    if policy is not None and not metadata.get("deletionTimestamp"):
        finalizers = [f for f in finalizers if f not in ("orphan", "foregroundDeletion")] + ([wanted] if wanted else [])
    metadata["finalizers"] = finalizers
    tidy(metadata)


def mark(obj: Object, grace: int, now: datetime) -> None:
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = to_time(now + timedelta(seconds=grace))
        if obj["kind"] != "Namespace":
            metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
    elif grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = to_time(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace


def may_go(obj: Object) -> bool:
    metadata = obj["metadata"]
    held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    return not held and not (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
