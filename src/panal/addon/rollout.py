"""Which contents of its configuration the add-on has on each cluster: hashes by which OCM's add-on manager tells whether it is rolled out.

OCM's manager resolves which AddOnDeploymentConfig counts for whom; what is in it the manager of the add-on has to look up, which is
panal: a hash into the ClusterManagementAddOn's status for defaults and placements' ones, and into a ManagedClusterAddOn's status for
those that it names itself. The work is made with the hashes that are there then (`manifests.config_hashes`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from panal.addon.config import GROUP, RESOURCE, ConfigKey

Object = dict[str, Any]
Configs = Callable[[ConfigKey], Object | None]  # finds an AddOnDeploymentConfig


def spec_hash(config: Object | None) -> str:
    """Of everything but its metadata; empty for one that does not exist. The same as OCM's addon-framework has."""
    if config is None:
        return ""
    content = {key: value for key, value in config.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def of_all(addon: Object, configs: Configs) -> Object:
    """What of the ClusterManagementAddOn's status is to be changed; empty if nothing is."""
    status = addon.get("status") or {}
    defaults = _hashed(status.get("defaultconfigReferences") or (), configs)
    placements = [
        p | ({"configReferences": _hashed(p["configReferences"], configs)} if p.get("configReferences") else {})
        for p in status.get("installProgressions") or ()
    ]
    found = {"defaultconfigReferences": defaults, "installProgressions": placements}
    return {key: value for key, value in found.items() if value != (status.get(key) or [])}


def of_one(addon: Object, configs: Configs) -> Object:
    """What of a ManagedClusterAddOn's status is to be changed; empty if nothing is."""
    before = (addon.get("status") or {}).get("configReferences") or []
    own = {(c.get("namespace") or "", c["name"]) for c in (addon.get("spec") or {}).get("configs") or () if _ours(c)}
    found = [_observed(r, own, configs) if _ours(r) and r.get("desiredConfig") else r for r in before]
    return {} if found == before else {"configReferences": found}


def uses(addon: Object, config: ConfigKey) -> bool:
    references = (addon.get("status") or {}).get("configReferences") or ()
    return any(_ours(r) and _key(r.get("desiredConfig") or r) == config for r in references)


def _observed(reference: Object, own: set[ConfigKey], configs: Configs) -> Object:
    """Of those of placements the hash comes with them from the ClusterManagementAddOn."""
    key = _key(reference["desiredConfig"])
    config = configs(key)
    if config is None:
        return reference
    seen = reference | {"lastObservedGeneration": config["metadata"].get("generation", 0)}
    return seen | {"desiredConfig": reference["desiredConfig"] | {"specHash": spec_hash(config)}} if key in own else seen


def _hashed(references: Iterable[Object], configs: Configs) -> list[Object]:
    return [_with_hash(r, configs) if _ours(r) and (r.get("desiredConfig") or {}).get("name") else r for r in references]


def _with_hash(reference: Object, configs: Configs) -> Object:
    wanted = reference["desiredConfig"]
    return reference | {"desiredConfig": wanted | {"specHash": spec_hash(configs(_key(wanted)))}}


def _ours(reference: Object) -> bool:
    return (reference.get("group", ""), reference.get("resource")) == (GROUP, RESOURCE)


def _key(referent: Object) -> ConfigKey:
    return referent.get("namespace") or "", referent.get("name") or ""
