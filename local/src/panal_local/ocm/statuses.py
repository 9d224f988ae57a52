"""The status of a ManifestWork: of each manifest, and of the whole work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panal.kube.objects import Object, conditions_of
from panal_local.ocm import feedback
from panal_local.ocm.conditions import Condition, merge_conditions, new_condition
from panal_local.ocm.works import Manifest

DELETING = new_condition("Deleting", True, "WorkDeleting", "ManifestWork is being deleted")


@dataclass(frozen=True, slots=True)
class Observed:
    """A manifest on the cluster. `live` is the object; None if it does not exist, or if `problem` says why it cannot be read. `applied` is
    the condition of an apply that was just done, else None."""

    manifest: Manifest
    live: Object | None
    problem: str = ""
    applied: Condition | None = None


def status(work: Object, observed: Sequence[Observed], now: datetime) -> dict[str, Any]:
    """The new status, which is equal to the present one if nothing changed."""
    generation = work["metadata"]["generation"]
    before = {_identity(m["resourceMeta"]): m for m in _manifests(work)}
    manifests = [_manifest(one, before.get(_identity(one.manifest.meta), {}), generation, now) for one in observed]
    conditions = [m["conditions"] for m in manifests]
    updates = [_applied(conditions)] if any(s.applied for s in observed) or not observed else []
    updates.append(_available(conditions))
    updates = [c | {"observedGeneration": generation} for c in updates] + ([DELETING] if work["metadata"].get("deletionTimestamp") else [])
    return {"conditions": merge_conditions(conditions_of(work), updates, now), "resourceStatus": {"manifests": manifests}}


def _manifests(work: Object) -> list[dict[str, Any]]:
    return ((work.get("status") or {}).get("resourceStatus") or {}).get("manifests") or []


def _identity(meta: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(meta.get(part) or "") for part in ("group", "kind", "namespace", "name"))


# --- one manifest -----------------------------------------------------------------------------------------------------
def _manifest(observed: Observed, before: Mapping[str, Any], generation: int, now: datetime) -> dict[str, Any]:
    conditions = before.get("conditions") or []
    values = (before.get("statusFeedback") or {}).get("values") or []
    updates = [observed.applied | {"observedGeneration": generation}] if observed.applied else []
    updates.append(_availability(observed))
    if observed.live is not None:
        read, synced = feedback.read(observed.live, observed.manifest.options.get("feedbackRules") or [])
        if read != values:  # the time of the condition is that of the last change of a value
            conditions = [c for c in conditions if c["type"] != feedback.TYPE]
        values = read
        updates.append(synced)
    return {
        "resourceMeta": observed.manifest.meta,
        "conditions": merge_conditions(conditions, updates, now),
        "statusFeedback": {"values": values} if values else {},
    }


def _availability(observed: Observed) -> Condition:
    if observed.manifest.kind is None:
        return new_condition("Available", "Unknown", "IncompleteResourceMeta", "Resource meta is incomplete")
    if observed.problem:
        return new_condition("Available", "Unknown", "FetchingResourceFailed", f"Failed to fetch resource: {observed.problem}")
    if observed.live is None:
        return new_condition("Available", False, "ResourceNotAvailable", "Resource is not available")
    return new_condition("Available", True, "ResourceAvailable", "Resource is available")


# --- the whole work ---------------------------------------------------------------------------------------------------
def _statuses(manifests: Iterable[Sequence[Condition]], type_: str) -> list[str]:
    return [c["status"] for conditions in manifests for c in conditions if c["type"] == type_]


def _applied(manifests: Sequence[Sequence[Condition]]) -> Condition:
    if "False" in _statuses(manifests, "Applied"):
        return new_condition("Applied", False, "AppliedManifestWorkFailed", "Failed to apply manifest work")
    return new_condition("Applied", True, "AppliedManifestWorkComplete", "Apply manifest work complete")


def _available(manifests: Sequence[Sequence[Condition]]) -> Condition:
    known, total = _statuses(manifests, "Available"), len(manifests)
    if missing := known.count("False"):
        return new_condition("Available", False, "ResourcesNotAvailable", f"{missing} of {total} resources are not available")
    if unknown := known.count("Unknown"):
        return new_condition("Available", "Unknown", "ResourcesStatusUnknown", f"{unknown} of {total} resources have unknown status")
    if not total:
        return new_condition("Available", "Unknown", "ResourcesStatusUnknown", "cannot get any available resource ")
    return new_condition("Available", True, "ResourcesAvailable", "All resources are available")
