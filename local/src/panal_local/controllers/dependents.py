"""What becomes of the dependents of an object whose deletion waits for that: the finalizers `orphan` and `foregroundDeletion`. Pure.

`kubectl delete --cascade=orphan` (or `foreground`) makes the API server set them; the object stays until they are taken off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from panal.kube.objects import Object, uid_of

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Plan:
    """`release`: which dependents lose their reference to the owner, and the references that they keep; `delete`: which go;
    `finalizers`: those that the owner keeps, or None while it has to wait."""

    release: list[tuple[Object, list[Object]]] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    finalizers: list[str] | None = None


def waits(owner: Object) -> bool:
    metadata = owner["metadata"]
    return bool(metadata.get("deletionTimestamp")) and not {ORPHAN, FOREGROUND}.isdisjoint(metadata.get("finalizers") or ())


def decide(owner: Object, dependents: Iterable[Object]) -> Plan:
    """`owner` waits. Releasing comes first, should both finalizers be there: then nothing is left to delete."""
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
