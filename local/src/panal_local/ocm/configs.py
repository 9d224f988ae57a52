"""Which configuration an add-on has on each cluster, and whether it has been rolled out, as Open Cluster Management's add-on manager says.

A ClusterManagementAddOn names defaults, its placements may name others for their clusters, and a ManagedClusterAddOn others again for
itself: the more special replaces all of its kind. What is desired goes with the hash of its content, which the add-on's own manager writes
(into the ClusterManagementAddOn's status; for what a ManagedClusterAddOn names itself, into that one's). Rollouts are to all at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from panal.kube.objects import Key, Object, condition
from panal_local.ocm.conditions import Condition, said

Kind = tuple[str, str]  # group and resource
Desired = dict[Kind, list[dict[str, Any]]]  # ConfigSpecHashes
HASHES = "open-cluster-management.io/config-spec-hash"  # a work's annotation: of which configuration it was made
PRE_DELETE = "addon-{}-pre-delete"


def _kind(config: Mapping[str, Any]) -> Kind:
    return config.get("group", ""), config["resource"]


def _spec_hash(referent: Mapping[str, Any], text: str = "") -> dict[str, Any]:
    place = {"namespace": referent["namespace"]} if referent.get("namespace") else {}
    return {**place, "name": referent["name"], "specHash": text}


def _key(referent: Mapping[str, Any]) -> Key:
    return Key(referent.get("namespace") or "", referent["name"])


def _status(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


# --- the ClusterManagementAddOn -----------------------------------------------------------------------------------
def defaults(addon: Object) -> list[dict[str, Any]]:
    """Its status.defaultconfigReferences; a hash that is there stays with its object."""
    known = {(_kind(r), _key(r["desiredConfig"])): r for r in _status(addon).get("defaultconfigReferences") or () if r.get("desiredConfig")}
    found = []
    for config in (addon.get("spec") or {}).get("supportedConfigs") or ():
        if default := config.get("defaultConfig"):
            before = known.get((_kind(config), _key(default)), {})
            text = before.get("desiredConfig", {}).get("specHash", "")
            found.append({"group": config.get("group", ""), "resource": config["resource"], "desiredConfig": _spec_hash(default, text)})
    return found


def of_placement(addon: Object, placement: Mapping[str, Any], before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The configReferences of one of its installProgressions, of which `before` are those that are there."""
    wanted: dict[Kind, list[Mapping[str, Any]]] = {}
    for config in (addon.get("spec") or {}).get("supportedConfigs") or ():
        if config.get("defaultConfig"):
            wanted[_kind(config)] = [config["defaultConfig"]]
    wanted |= _grouped(placement.get("configs") or ())
    known = {(_kind(r), _key(r["desiredConfig"])): r for r in before if r.get("desiredConfig")}
    return [
        {
            **known.get((kind, _key(referent)), {}),
            "group": kind[0],
            "resource": kind[1],
            "desiredConfig": known.get((kind, _key(referent)), {}).get("desiredConfig") or _spec_hash(referent),
        }
        for kind in sorted(wanted)
        for referent in wanted[kind]
    ]


def _grouped(configs: Iterable[Mapping[str, Any]]) -> dict[Kind, list[Mapping[str, Any]]]:
    """By kind, each object once."""
    found: dict[Kind, dict[Key, Mapping[str, Any]]] = {}
    for config in configs:
        found.setdefault(_kind(config), {}).setdefault(_key(config), config)
    return {kind: list(each.values()) for kind, each in found.items()}


def applied(references: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same, once every cluster has what is desired."""
    return [{**r, "lastAppliedConfig": r["desiredConfig"], "lastKnownGoodConfig": r["desiredConfig"]} for r in references]


# --- a ManagedClusterAddOn ----------------------------------------------------------------------------------------
def desired(addon: Object, installed: Object, progression: Mapping[str, Any] | None) -> Desired:
    """What the cluster is to have. `progression` is that of the last placement which has the cluster, if any has."""
    found: Desired = {}
    for reference in [*defaults(addon)]:
        found[_kind(reference)] = [reference["desiredConfig"]]
    of_its_placement: Desired = {}
    for reference in (progression or {}).get("configReferences") or ():
        of_its_placement.setdefault(_kind(reference), []).append(reference["desiredConfig"])
    return found | of_its_placement | _own(installed)


def _own(installed: Object) -> Desired:
    known = {(_kind(r), _key(r["desiredConfig"])): r for r in _status(installed).get("configReferences") or () if r.get("desiredConfig")}

    def hashed(kind: Kind, config: Mapping[str, Any]) -> dict[str, Any]:
        return _spec_hash(config, known.get((kind, _key(config)), {}).get("desiredConfig", {}).get("specHash", ""))

    mine = _grouped((installed.get("spec") or {}).get("configs") or ())
    return {kind: [hashed(kind, config) for config in configs] for kind, configs in mine.items()}


def references(installed: Object, wanted: Desired) -> list[dict[str, Any]]:
    """Its status.configReferences; what was applied last stays with its object."""
    known = {(_kind(r), _key(r["desiredConfig"])): r for r in _status(installed).get("configReferences") or () if r.get("desiredConfig")}
    found = []
    for kind in sorted(wanted):
        for config in wanted[kind]:
            before = known.get((kind, _key(config)), {"lastObservedGeneration": 0})
            place = {key: config[key] for key in ("namespace", "name") if key in config}
            found.append({**before, "group": kind[0], "resource": kind[1], **place, "desiredConfig": config})
    return found


def rolled_out(installed: Object, wanted: Desired) -> bool:
    """Whether what is desired is what was applied last; at once where nothing is."""
    found = _status(installed).get("configReferences") or ()
    return references(installed, wanted) == list(found) and all(r.get("lastAppliedConfig") == r["desiredConfig"] for r in found)


# --- whether it is done -------------------------------------------------------------------------------------------
def progressing(installed: Object, works: Sequence[Object]) -> Condition:
    """What is said of a ManagedClusterAddOn, by the works that its own manager has made of its configuration."""
    supported = {_kind(c) for c in _status(installed).get("supportedConfigs") or ()}
    for config in (installed.get("spec") or {}).get("configs") or ():
        if _kind(config) not in supported:
            group, resource = _kind(config)
            message = f"Configuration with gvr {group}/{resource} is not supported for this addon"
            return said("Progressing", False, "ConfigurationUnsupported", message)
    if not condition(installed, "ManifestApplied"):
        return said("Progressing", False, "WaitingForManifestApplied", "Waiting for ManagedClusterAddOn ManifestApplied condition")
    if why := _waits_for(installed, works):
        return said("Progressing", True, "Progressing", f"progressing... {why}")
    return said("Progressing", False, "Completed", "completed with no errors.")


def _waits_for(installed: Object, works: Sequence[Object]) -> str:
    if not works:
        return "no addon works"
    for work in works:
        if work["metadata"]["name"].startswith(PRE_DELETE.format(installed["metadata"]["name"])):
            continue
        if not _made_of(work, _status(installed).get("configReferences") or []):
            return "mca and work configs mismatch"
        if not all(_says(work, type_) for type_ in ("Available", "Applied")):
            return "work is not ready"
    return ""


def _made_of(work: Object, found: Sequence[Mapping[str, Any]]) -> bool:
    text = (work["metadata"].get("annotations") or {}).get(HASHES)
    if text is None:
        return not found
    try:
        of_the_work = json.loads(text)
    except ValueError:
        return False
    wanted = {_path(reference): reference["desiredConfig"].get("specHash", "") for reference in found}
    return bool(of_the_work == wanted and all(wanted.values()))


def _path(reference: Mapping[str, Any]) -> str:
    group, resource = _kind(reference)
    where = _key(reference["desiredConfig"])
    return f"{resource}{f'.{group}' if group else ''}/{where.namespace}/{where.name}"


def _says(work: Object, type_: str) -> bool:
    found = condition(work, type_)
    return found.get("status") == "True" and found.get("observedGeneration") == work["metadata"].get("generation")
