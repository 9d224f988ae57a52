"""The dependents of an object with the finalizer `orphan` or `foregroundDeletion`, whose deletion waits for them. Pure.

The API server sets these finalizers for `kubectl delete --cascade=orphan` and `foreground`. The object stays until they are removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from panal.kube.objects import Object, uid_of

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Plan:
    """`release`: dependents that lose their reference to the owner, with their other references. `delete`: dependents to delete.
    `finalizers`: the owner's remaining finalizers, or None while the owner has to wait."""

    release: list[tuple[Object, list[Object]]] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    finalizers: list[str] | None = None


def is_waiting(owner: Object) -> bool:
    metadata = owner["metadata"]
    return bool(metadata.get("deletionTimestamp")) and not {ORPHAN, FOREGROUND}.isdisjoint(metadata.get("finalizers") or ())


def decide(owner: Object, dependents: Iterable[Object]) -> Plan:
    """`owner` is waiting. With both finalizers, the dependents are released, and nothing is deleted."""
    found = list(dependents)
    kept = [f for f in owner["metadata"]["finalizers"] if f not in (ORPHAN, FOREGROUND)]
    if ORPHAN in owner["metadata"]["finalizers"]:
        return Plan(release=[(each, _others(each, owner)) for each in found], finalizers=kept)
    blocking = [each for each in found if any(r["uid"] == uid_of(owner) and r.get("blockOwnerDeletion") for r in _references(each))]
    going = [each for each in found if not each["metadata"].get("deletionTimestamp") and not _others(each, owner)]
    return Plan(delete=going, finalizers=None if blocking else kept)


def _others(dependent: Object, owner: Object) -> list[Object]:
    return [r for r in _references(dependent) if r["uid"] != uid_of(owner)]


def _references(dependent: Object) -> list[Object]:
    return dependent["metadata"].get("ownerReferences") or []
