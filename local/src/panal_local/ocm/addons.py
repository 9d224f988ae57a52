"""Add-ons on the hub: the clusters that get an add-on, its configuration there, and the state of the rollout.

A ClusterManagementAddOn with installStrategy Placements has a ManagedClusterAddOn in the namespace of each selected cluster, and nowhere
else. An add-on with the annotation lifecycle `self` is managed by its own manager. AddOnTemplates are not supported: an add-on's manager
creates ManifestWorks, and requests certificates in `status.registrations` (see `certificates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.kube.objects import Key, Object, condition
from panal_local.ocm.conditions import Condition, new_condition
from panal_local.owners import controller_reference

API = "addon.open-cluster-management.io/v1alpha1"
LIFECYCLE = "addon.open-cluster-management.io/lifecycle"
CONFIGURED = new_condition("Configured", True, "ConfigurationsConfigured", "Configurations configured")

Kind = tuple[str, str]  # group and resource


@dataclass(frozen=True, slots=True)
class Plan:
    """ManagedClusterAddOns to create, and the keys of those to delete."""

    create: tuple[Object, ...] = ()
    remove: tuple[Key, ...] = ()


def managed(addon: Object) -> bool:
    annotations = addon["metadata"].get("annotations") or {}
    return bool(annotations.get(LIFECYCLE, "addon-manager") == "addon-manager")


def placements(addon: Object) -> tuple[Key, ...] | None:
    """The Placements that select the add-on's clusters; None if it is installed manually."""
    strategy = _strategy(addon)
    return tuple(map(_place, strategy.get("placements") or ())) if strategy.get("type") == "Placements" else None


def decide(addon: Object, decided: Mapping[Key, set[str]], clusters: Iterable[Object], installed: Iterable[Object]) -> Plan:
    """`decided` has the clusters of each Placement, `installed` the ManagedClusterAddOns with the add-on's name."""
    if addon["metadata"].get("deletionTimestamp") or not managed(addon) or placements(addon) is None:
        return Plan()
    present = {each["metadata"]["namespace"] for each in installed}
    there = {c["metadata"]["name"] for c in clusters if not c["metadata"].get("deletionTimestamp")}
    wanted = set[str]().union(*decided.values()) & there
    name = addon["metadata"]["name"]
    return Plan(
        create=tuple(_managed_cluster_addon(addon, cluster) for cluster in sorted(wanted - present)),
        remove=tuple(Key(cluster, name) for cluster in sorted(present - wanted)),
    )


def installed_status(
    addon: Object, installed: Object, decided: Mapping[Key, set[str]], works: Sequence[Object]
) -> tuple[Object, list[Condition]]:
    """The fields of a ManagedClusterAddOn's status that the add-on manager writes, and the conditions."""
    references = _references(addon, installed, decided)
    progress = _progressing(installed, works)
    if progress["reason"] == "Completed":
        references = [{**r, "lastAppliedConfig": r["desiredConfig"]} for r in references]
    before = (installed.get("status") or {}).get("configReferences")
    return {"configReferences": references} if references or before else {}, [progress, CONFIGURED]


def _strategy(addon: Object) -> Object:
    return (addon.get("spec") or {}).get("installStrategy") or {}


def _place(placement: Mapping[str, Any]) -> Key:
    return Key(placement["namespace"], placement["name"])


def _references(addon: Object, installed: Object, decided: Mapping[Key, set[str]]) -> list[Object]:
    """status.configReferences. The add-on's defaults are overridden by the configurations of the last Placement that selects the cluster,
    and these by those in the ManagedClusterAddOn's spec. Existing references keep their other fields."""
    cluster = installed["metadata"]["namespace"]
    defaults = [
        {**config, **config["defaultConfig"]} for config in addon["spec"].get("supportedConfigs") or () if config.get("defaultConfig")
    ]
    placed = [p.get("configs") or () for p in _strategy(addon).get("placements") or () if cluster in decided.get(_place(p), ())]
    own = (installed.get("spec") or {}).get("configs") or ()
    wanted = _by_kind(defaults) | _by_kind(placed[-1] if placed else ()) | _by_kind(own)
    known = {_identity(r): r for r in (installed.get("status") or {}).get("configReferences") or ()}
    return [known.get(_identity(config)) or _reference(config) for kind in sorted(wanted) for config in wanted[kind]]


def _by_kind(configs: Iterable[Object]) -> dict[Kind, list[Object]]:
    found: dict[Kind, list[Object]] = {}
    for config in configs:
        found.setdefault((config.get("group", ""), config["resource"]), []).append(config)
    return found


def _identity(config: Object) -> tuple[str, ...]:
    return tuple(config.get(part) or "" for part in ("group", "resource", "namespace", "name"))


def _reference(config: Object) -> Object:
    place = {part: config[part] for part in ("namespace", "name") if config.get(part)}
    kind = {"group": config.get("group", ""), "resource": config["resource"]}
    return kind | place | {"lastObservedGeneration": 0, "desiredConfig": place | {"specHash": ""}}


def _progressing(installed: Object, works: Sequence[Object]) -> Condition:
    """The condition Progressing, from the works of the add-on."""
    if not condition(installed, "ManifestApplied"):
        return new_condition("Progressing", False, "WaitingForManifestApplied", "Waiting for ManagedClusterAddOn ManifestApplied condition")
    if not works or not all(_is_current(work, type_) for work in works for type_ in ("Available", "Applied")):
        return new_condition("Progressing", True, "Progressing", "progressing... work is not ready")
    return new_condition("Progressing", False, "Completed", "completed with no errors.")


def _is_current(work: Object, type_: str) -> bool:
    found = condition(work, type_)
    return found.get("status") == "True" and found.get("observedGeneration") == work["metadata"].get("generation")


def _managed_cluster_addon(addon: Object, cluster: str) -> Object:
    name = addon["metadata"]["name"]
    owner = controller_reference(API, "ClusterManagementAddOn", addon)
    metadata = {"name": name, "namespace": cluster, "ownerReferences": [owner]}
    return {"apiVersion": API, "kind": "ManagedClusterAddOn", "metadata": metadata, "spec": {}}
