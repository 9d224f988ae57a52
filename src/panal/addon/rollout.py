"""Hashes of the add-on's configurations, by which OCM's add-on manager sees whether a configuration is rolled out.

OCM's add-on manager determines which AddOnDeploymentConfig applies to a cluster. The add-on's own controller, here panal, writes the hash
of its content: for defaults and configurations of placements into the ClusterManagementAddOn's status, and for configurations that a
ManagedClusterAddOn names into its own status. The work contains the hashes that it was rendered with (`manifests.config_hashes`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from panal.addon.config import GROUP, RESOURCE, ConfigKey

Object = dict[str, Any]
Configs = Callable[[ConfigKey], Object | None]  # returns an AddOnDeploymentConfig


def spec_hash(config: Object | None) -> str:
    """The hash of a configuration without its metadata, as OCM's addon-framework computes it; empty if the configuration does not exist."""
    if config is None:
        return ""
    content = {key: value for key, value in config.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def cluster_management_addon(addon: Object, configs: Configs) -> Object:
    """The fields of the ClusterManagementAddOn's status that must change; empty if none."""
    status = addon.get("status") or {}
    defaults = _hashed(status.get("defaultconfigReferences") or (), configs)
    placements = [
        p | ({"configReferences": _hashed(p["configReferences"], configs)} if p.get("configReferences") else {})
        for p in status.get("installProgressions") or ()
    ]
    found = {"defaultconfigReferences": defaults, "installProgressions": placements}
    return {key: value for key, value in found.items() if value != (status.get(key) or [])}


def managed_cluster_addon(addon: Object, configs: Configs) -> Object:
    """The fields of a ManagedClusterAddOn's status that must change; empty if none."""
    before = (addon.get("status") or {}).get("configReferences") or []
    own = {(c.get("namespace") or "", c["name"]) for c in (addon.get("spec") or {}).get("configs") or () if _ours(c)}
    found = [_observed(r, own, configs) if _ours(r) and r.get("desiredConfig") else r for r in before]
    return {} if found == before else {"configReferences": found}


def uses(addon: Object, config: ConfigKey) -> bool:
    """Whether the status of a ManagedClusterAddOn refers to the configuration."""
    references = (addon.get("status") or {}).get("configReferences") or ()
    return any(_ours(r) and _key(r.get("desiredConfig") or r) == config for r in references)


def _observed(reference: Object, own: set[ConfigKey], configs: Configs) -> Object:
    """Sets the hash only for the cluster's own configurations; OCM copies the others from the ClusterManagementAddOn."""
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
