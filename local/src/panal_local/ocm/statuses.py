"""A ManifestWork's status: what is said of each manifest, and what follows of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panal.kube.objects import Object, conditions_of
from panal_local.ocm import feedback
from panal_local.ocm.conditions import Condition, merged, said
from panal_local.ocm.works import Manifest

DELETING = said("Deleting", True, "WorkDeleting", "ManifestWork is being deleted")


@dataclass(frozen=True, slots=True)
class Seen:
    """One manifest as it is on the cluster: `live` is None where there is no such object; `problem` is why that is not known.
    `applied` is what has just come of applying it; None if that was not tried."""

    manifest: Manifest
    live: Object | None
    problem: str = ""
    applied: Condition | None = None


def status(work: Object, seen: Sequence[Seen], now: datetime) -> dict[str, Any]:
    """Equal to the work's present status if there is nothing new."""
    generation = work["metadata"]["generation"]
    before = {_identity(m["resourceMeta"]): m for m in _manifests(work)}
    manifests = [_manifest(one, before.get(_identity(one.manifest.meta), {}), generation, now) for one in seen]
    conditions = [m["conditions"] for m in manifests]
    news = [_applied(conditions)] if any(s.applied for s in seen) or not seen else []
    news.append(_available(conditions))
    news = [c | {"observedGeneration": generation} for c in news] + ([DELETING] if work["metadata"].get("deletionTimestamp") else [])
    return {"conditions": merged(conditions_of(work), news, now), "resourceStatus": {"manifests": manifests}}


def _manifests(work: Object) -> list[dict[str, Any]]:
    return ((work.get("status") or {}).get("resourceStatus") or {}).get("manifests") or []


def _identity(meta: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(meta.get(part) or "") for part in ("group", "kind", "namespace", "name"))


# --- one manifest -----------------------------------------------------------------------------------------------------
def _manifest(seen: Seen, before: Mapping[str, Any], generation: int, now: datetime) -> dict[str, Any]:
    conditions = before.get("conditions") or []
    values = (before.get("statusFeedback") or {}).get("values") or []
    news = [seen.applied | {"observedGeneration": generation}] if seen.applied else []
    news.append(_availability(seen))
    if seen.live is not None:
        read, synced = feedback.read(seen.live, seen.manifest.options.get("feedbackRules") or [])
        if read != values:  # the condition's time is that of the last change of a value
            conditions = [c for c in conditions if c["type"] != feedback.TYPE]
        values = read
        news.append(synced)
    return {
        "resourceMeta": seen.manifest.meta,
        "conditions": merged(conditions, news, now),
        "statusFeedback": {"values": values} if values else {},
    }


def _availability(seen: Seen) -> Condition:
    if seen.manifest.kind is None:
        return said("Available", "Unknown", "IncompleteResourceMeta", "Resource meta is incomplete")
    if seen.problem:
        return said("Available", "Unknown", "FetchingResourceFailed", f"Failed to fetch resource: {seen.problem}")
    if seen.live is None:
        return said("Available", False, "ResourceNotAvailable", "Resource is not available")
    return said("Available", True, "ResourceAvailable", "Resource is available")


# --- the whole --------------------------------------------------------------------------------------------------------
def _statuses(manifests: Iterable[Sequence[Condition]], type_: str) -> list[str]:
    return [c["status"] for conditions in manifests for c in conditions if c["type"] == type_]


def _applied(manifests: Sequence[Sequence[Condition]]) -> Condition:
    if "False" in _statuses(manifests, "Applied"):
        return said("Applied", False, "AppliedManifestWorkFailed", "Failed to apply manifest work")
    return said("Applied", True, "AppliedManifestWorkComplete", "Apply manifest work complete")


def _available(manifests: Sequence[Sequence[Condition]]) -> Condition:
    known, total = _statuses(manifests, "Available"), len(manifests)
    if missing := known.count("False"):
        return said("Available", False, "ResourcesNotAvailable", f"{missing} of {total} resources are not available")
    if unknown := known.count("Unknown"):
        return said("Available", "Unknown", "ResourcesStatusUnknown", f"{unknown} of {total} resources have unknown status")
    if not total:
        return said("Available", "Unknown", "ResourcesStatusUnknown", "cannot get any available resource ")
    return said("Available", True, "ResourcesAvailable", "All resources are available")
