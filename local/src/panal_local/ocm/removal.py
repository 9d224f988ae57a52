"""Taking a deleted ManagedCluster apart: first its add-ons, then its works, and then it may go. Its namespace stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panal.kube import kinds
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal_local.ocm.conditions import Condition, said


@dataclass(frozen=True, slots=True)
class Step:
    """`done`: nothing is left, and the finalizers can go."""

    condition: Condition
    delete: tuple[tuple[Kind, Object], ...] = ()
    done: bool = False


def decide(addons: Sequence[Object], works: Sequence[Object]) -> Step:
    for kind, left in ((kinds.MANAGED_CLUSTER_ADDON, addons), (kinds.MANIFEST_WORK, works)):
        if left:
            going = tuple((kind, obj) for obj in left if not obj["metadata"].get("deletionTimestamp"))
            return Step(said("Deleting", False, "ResourceRemaining", f"{len(left)} {kind.plural} remain"), going)
    return Step(said("Deleting", True, "NoResource", "No cleaned resource in cluster ns."), done=True)
