"""Hashes of configurations in the status fields that OCM's add-on manager reads."""

from __future__ import annotations

from typing import Any

from panal.addon.config import GROUP, RESOURCE, ConfigKey
from panal.addon.rollout import cluster_management_addon, managed_cluster_addon, spec_hash, uses

OWN, SHARED = ("c1", "own"), ("panal-system", "all")


def config(key: ConfigKey, generation: int = 3, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": key[0], "name": key[1], "generation": generation, "resourceVersion": "9"}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "AddOnDeploymentConfig", "metadata": metadata, "spec": spec}


CONFIGS = {OWN: config(OWN, agentInstallNamespace=""), SHARED: config(SHARED, 4, registries=[{"mirror": "m"}])}


def reference(key: ConfigKey, text: str = "", **more: Any) -> dict[str, Any]:
    desired = {"namespace": key[0], "name": key[1], "specHash": text}
    return {"group": GROUP, "resource": RESOURCE, "desiredConfig": desired} | more


OTHER = {"group": "other", "resource": "things", "desiredConfig": {"name": "x", "specHash": ""}}


def test_a_hash_does_not_depend_on_metadata() -> None:
    assert spec_hash(config(OWN, 1, a=1, b="ü")) == spec_hash(config(SHARED, 2, b="ü", a=1))
    assert spec_hash(config(OWN, a=1)) != spec_hash(config(OWN, a=2))
    assert spec_hash(None) == ""
    # as the addon-framework computes it: SHA-256 of {"spec":{"agentInstallNamespace":""}}
    assert spec_hash(CONFIGS[OWN]) == "f242aa3828110ab047168877d0f8e9c7f29ee3f25919eb6ee506c2aff35f1b3f"


def addon(*references: dict[str, Any], own: tuple[ConfigKey, ...] = ()) -> dict[str, Any]:
    configs = [{"group": GROUP, "resource": RESOURCE, "namespace": k[0], "name": k[1]} for k in own]
    return {"spec": {"configs": configs}, "status": {"configReferences": list(references)}}


def test_only_own_configurations_of_a_cluster_get_a_hash() -> None:
    found = managed_cluster_addon(addon(reference(OWN), reference(SHARED, "theirs"), OTHER, own=(OWN,)), CONFIGS.get)
    assert found == {
        "configReferences": [
            reference(OWN, spec_hash(CONFIGS[OWN]), lastObservedGeneration=3),
            reference(SHARED, "theirs", lastObservedGeneration=4),
            OTHER,
        ]
    }
    assert managed_cluster_addon(addon(*found["configReferences"], own=(OWN,)), CONFIGS.get) == {}, "no field must change"
    assert managed_cluster_addon(addon(reference(("c1", "missing")), own=(("c1", "missing"),)), CONFIGS.get) == {}
    assert managed_cluster_addon({"metadata": {}}, CONFIGS.get) == {}


def test_defaults_and_configurations_of_placements_get_a_hash() -> None:
    placement = {"namespace": "ns", "name": "all", "conditions": []}
    status = {
        "defaultconfigReferences": [reference(SHARED)],
        "installProgressions": [placement, placement | {"configReferences": [reference(OWN), OTHER]}],
    }
    found = cluster_management_addon({"status": status}, CONFIGS.get)
    assert found == {
        "defaultconfigReferences": [reference(SHARED, spec_hash(CONFIGS[SHARED]))],
        "installProgressions": [placement, placement | {"configReferences": [reference(OWN, spec_hash(CONFIGS[OWN])), OTHER]}],
    }
    assert cluster_management_addon({"status": found}, CONFIGS.get) == {}
    assert cluster_management_addon({"status": {"installProgressions": [placement]}}, CONFIGS.get) == {}
    deleted = cluster_management_addon({"status": found}, lambda _: None)
    assert deleted["defaultconfigReferences"] == [reference(SHARED)], "a deleted configuration has no hash"


def test_uses() -> None:
    assert uses(addon(reference(OWN)), OWN)
    assert not uses(addon(reference(OWN)), SHARED)
    assert not uses({}, OWN)
