"""The PlacementDecisions to create, update and delete after scheduling. `panal_local.scheduling` selects the clusters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from panal.kube.objects import Object
from panal_local.owners import controller_reference
from panal_local.scheduling.schedule import Decision

API = "cluster.open-cluster-management.io/v1beta1"


@dataclass(frozen=True, slots=True)
class Difference:
    """`create` has objects without status, `statuses` the decisions to write, `surplus` names to delete."""

    create: tuple[Object, ...]
    statuses: tuple[Decision, ...]
    surplus: tuple[str, ...]


def difference(placement: Object, wanted: Iterable[Decision], present: Iterable[Object]) -> Difference:
    known = {obj["metadata"]["name"]: obj for obj in present}
    wanted = tuple(wanted)
    return Difference(
        create=tuple(_object(placement, d) for d in wanted if d.name not in known),
        statuses=tuple(d for d in wanted if (known.get(d.name) or {}).get("status") != d.status),
        surplus=tuple(sorted(known.keys() - {d.name for d in wanted})),
    )


def clusters(decisions: Iterable[Object]) -> set[str]:
    return {d["clusterName"] for each in decisions for d in (each.get("status") or {}).get("decisions") or ()}


def _object(placement: Object, decision: Decision) -> Object:
    metadata = placement["metadata"]
    owner = controller_reference(API, "Placement", placement)
    mine = {"name": decision.name, "namespace": metadata["namespace"], "labels": dict(decision.labels), "ownerReferences": [owner]}
    return {"apiVersion": API, "kind": "PlacementDecision", "metadata": mine}
