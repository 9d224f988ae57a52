"""Add-ons on the hub: which clusters get one, and what is said of those installed.

A ClusterManagementAddOn with installStrategy Placements has a ManagedClusterAddOn in the namespace of every cluster decided on, and
nowhere else. One with the annotation lifecycle `self` is left to a manager of its own. AddOnTemplates are not known here, so nothing
is deployed: an add-on's manager writes ManifestWorks, and asks for certificates by `status.registrations` (see `certificates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panal.kube.objects import Key, Object, uid_of
from panal.local.ocm.conditions import Condition, condition, merged, said

API = "addon.open-cluster-management.io/v1alpha1"
LIFECYCLE = "addon.open-cluster-management.io/lifecycle"
WAITS = said("Progressing", False, "WaitingForManifestApplied", "Waiting for ManagedClusterAddOn ManifestApplied condition")
CONFIGURED = said("Configured", True, "ConfigurationsConfigured", "Configurations configured")


@dataclass(frozen=True, slots=True)
class Plan:
    """`create` are ManagedClusterAddOns; `remove` are the keys of surplus ones; `progress` is said of each placement."""

    create: tuple[Object, ...] = ()
    remove: tuple[Key, ...] = ()
    progress: tuple[tuple[Key, Condition], ...] = ()


def managed(addon: Object) -> bool:
    annotations = addon["metadata"].get("annotations") or {}
    return bool(annotations.get(LIFECYCLE, "addon-manager") == "addon-manager")


def placements(addon: Object) -> tuple[Key, ...] | None:
    """Those that decide where it is installed; None if people do."""
    strategy = (addon.get("spec") or {}).get("installStrategy") or {}
    return tuple(Key(p["namespace"], p["name"]) for p in strategy.get("placements") or ()) if strategy.get("type") == "Placements" else None


def decide(addon: Object, decided: Mapping[Key, set[str]], clusters: Iterable[Object], installed: Iterable[Object]) -> Plan:
    """`decided` are the clusters of each of its placements, `installed` the ManagedClusterAddOns of its name."""
    if not managed(addon) or placements(addon) is None or addon["metadata"].get("deletionTimestamp"):
        return Plan()
    present = {each["metadata"]["namespace"] for each in installed}
    there = {c["metadata"]["name"] for c in clusters if not c["metadata"].get("deletionTimestamp")}
    wanted = set[str]().union(*decided.values()) & there
    name = addon["metadata"]["name"]
    return Plan(
        create=tuple(_managed_cluster_addon(addon, cluster) for cluster in sorted(wanted - present)),
        remove=tuple(Key(cluster, name) for cluster in sorted(present - wanted)),
        progress=tuple((key, _progress(len(chosen & there), len(chosen & there & present))) for key, chosen in decided.items()),
    )


def installed_conditions(addon: Object) -> tuple[Condition, ...]:
    """What is said of a ManagedClusterAddOn that the add-on manager looks after, until its own manager says otherwise."""
    return tuple(c for c in (WAITS, CONFIGURED) if not condition(addon, c["type"]))


def progressions(addon: Object, progress: Iterable[tuple[Key, Condition]], now: datetime) -> list[dict[str, Any]]:
    """The ClusterManagementAddOn's status.installProgressions."""
    before = {(p["namespace"], p["name"]): p for p in (addon.get("status") or {}).get("installProgressions") or ()}
    return [_progression(before.get(key, {}), key, condition, now) for key, condition in progress]


def _progression(before: Mapping[str, Any], key: Key, new: Condition, now: datetime) -> dict[str, Any]:
    return {**before, "namespace": key.namespace, "name": key.name, "conditions": merged(before.get("conditions") or [], [new], now)}


def _progress(wanted: int, present: int) -> Condition:
    if present < wanted:
        return said("Progressing", True, "Progressing", f"{wanted - present}/{wanted} progressing..., 0 failed 0 timeout.")
    return said("Progressing", False, "Completed", f"{present}/{wanted} completed with no errors, 0 failed 0 timeout.")


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
