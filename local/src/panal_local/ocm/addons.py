"""Add-ons on the hub: which clusters get one, and what is said of those installed.

A ClusterManagementAddOn with installStrategy Placements has a ManagedClusterAddOn in the namespace of every cluster decided on, and
nowhere else. One with the annotation lifecycle `self` is left to a manager of its own. AddOnTemplates are not known here, so nothing
is deployed: an add-on's manager writes ManifestWorks, and asks for certificates by `status.registrations` (see `certificates`).
Which configuration each has is in `configs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.kube.objects import Key, Object, uid_of
from panal_local.ocm import configs
from panal_local.ocm.conditions import Condition, merged, said

API = "addon.open-cluster-management.io/v1alpha1"
LIFECYCLE = "addon.open-cluster-management.io/lifecycle"
CONFIGURED = said("Configured", True, "ConfigurationsConfigured", "Configurations configured")


@dataclass(frozen=True, slots=True)
class Plan:
    """`create` are ManagedClusterAddOns; `remove` are the keys of surplus ones; `status` is the ClusterManagementAddOn's."""

    create: tuple[Object, ...] = ()
    remove: tuple[Key, ...] = ()
    status: Object = field(default_factory=dict)


def managed(addon: Object) -> bool:
    annotations = addon["metadata"].get("annotations") or {}
    return bool(annotations.get(LIFECYCLE, "addon-manager") == "addon-manager")


def placements(addon: Object) -> tuple[Key, ...] | None:
    """Those that decide where it is installed; None if people do."""
    strategy = (addon.get("spec") or {}).get("installStrategy") or {}
    return tuple(Key(p["namespace"], p["name"]) for p in strategy.get("placements") or ()) if strategy.get("type") == "Placements" else None


def decide(addon: Object, decided: Mapping[Key, set[str]], clusters: Iterable[Object], installed: Iterable[Object], now: datetime) -> Plan:
    """`decided` are the clusters of each of its placements, `installed` the ManagedClusterAddOns of its name."""
    if addon["metadata"].get("deletionTimestamp"):
        return Plan()
    default = {"defaultconfigReferences": configs.defaults(addon)}
    if not managed(addon) or placements(addon) is None:
        return Plan(status=default | ({} if placements(addon) else {"installProgressions": []}))
    present = {each["metadata"]["namespace"]: each for each in installed}
    there = {c["metadata"]["name"] for c in clusters if not c["metadata"].get("deletionTimestamp")}
    wanted = set[str]().union(*decided.values()) & there
    name = addon["metadata"]["name"]
    chosen = {key: [present.get(c) for c in sorted(found & there)] for key, found in decided.items()}
    return Plan(
        create=tuple(_managed_cluster_addon(addon, cluster) for cluster in sorted(wanted - present.keys())),
        remove=tuple(Key(cluster, name) for cluster in sorted(present.keys() - wanted)),
        status=default | {"installProgressions": _progressions(addon, chosen, now)},
    )


def installed_status(
    addon: Object, installed: Object, decided: Mapping[Key, set[str]], works: Sequence[Object]
) -> tuple[Object, list[Condition]]:
    """What the add-on manager writes into a ManagedClusterAddOn's status, but for conditions, and its conditions."""
    cluster = installed["metadata"]["namespace"]
    mine = [p for p in (addon.get("status") or {}).get("installProgressions") or () if cluster in decided.get(_place(p), ())]
    references = configs.references(installed, configs.desired(addon, installed, mine[-1] if mine else None))
    progress = configs.progressing({**installed, "status": {**(installed.get("status") or {}), "configReferences": references}}, works)
    if progress["reason"] == "Completed":
        references = [{**r, "lastAppliedConfig": r["desiredConfig"]} for r in references]
    before = (installed.get("status") or {}).get("configReferences")
    return {"configReferences": references} if references or before else {}, [progress, CONFIGURED]


def _place(progression: Mapping[str, Any]) -> Key:
    return Key(progression["namespace"], progression["name"])


def _progressions(addon: Object, chosen: Mapping[Key, Sequence[Object | None]], now: datetime) -> list[dict[str, Any]]:
    """Its status.installProgressions; `chosen` are the ManagedClusterAddOns of the clusters of each placement, None where it is to come."""
    before = {_place(p): p for p in (addon.get("status") or {}).get("installProgressions") or ()}
    strategies = addon["spec"]["installStrategy"].get("placements") or ()
    return [_progression(addon, each, before.get(_place(each), {}), chosen[_place(each)], now) for each in strategies]


def _progression(
    addon: Object, placement: Mapping[str, Any], before: Mapping[str, Any], chosen: Sequence[Object | None], now: datetime
) -> dict[str, Any]:
    references = configs.of_placement(addon, placement, before.get("configReferences") or ())
    made: dict[str, Any] = {"namespace": placement["namespace"], "name": placement["name"], "configReferences": references}
    there = [each for each in chosen if each is not None]
    done = sum(_done(addon, each, made) for each in there)
    if done == len(chosen) > 0:
        made["configReferences"] = configs.applied(references)
        progress = said("Progressing", False, "Completed", f"{done}/{len(chosen)} completed with no errors, 0 failed 0 timeout.")
    else:
        progress = said("Progressing", True, "Progressing", f"{len(there)}/{len(chosen)} progressing..., 0 failed 0 timeout.")
    return made | {"conditions": merged(before.get("conditions") or [], [progress], now)}


def _done(addon: Object, installed: Object, progression: Mapping[str, Any]) -> bool:
    """One with configuration of its own never counts as done, with the real one either."""
    if (installed.get("spec") or {}).get("configs"):
        return False
    return configs.rolled_out(installed, configs.desired(addon, installed, progression))


def _managed_cluster_addon(addon: Object, cluster: str) -> Object:
    name = addon["metadata"]["name"]
    owner = {
        "apiVersion": API,
        "kind": "ClusterManagementAddOn",
        "name": name,
        "uid": uid_of(addon),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {"name": name, "namespace": cluster, "ownerReferences": [owner]}
    return {"apiVersion": API, "kind": "ManagedClusterAddOn", "metadata": metadata, "spec": {}}
