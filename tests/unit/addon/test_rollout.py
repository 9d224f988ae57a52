"""Hashes of configurations, where OCM's add-on manager looks for them."""

from __future__ import annotations

from typing import Any

from panal.addon.config import GROUP, RESOURCE, ConfigKey
from panal.addon.rollout import of_all, of_one, spec_hash, uses

OWN, SHARED = ("c1", "own"), ("panal-system", "all")


def config(key: ConfigKey, generation: int = 3, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": key[0], "name": key[1], "generation": generation, "resourceVersion": "9"}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "AddOnDeploymentConfig", "metadata": metadata, "spec": spec}


CONFIGS = {OWN: config(OWN, agentInstallNamespace=""), SHARED: config(SHARED, 4, registries=[{"mirror": "m"}])}


def reference(key: ConfigKey, text: str = "", **more: Any) -> dict[str, Any]:
    desired = {"namespace": key[0], "name": key[1], "specHash": text}
    return {"group": GROUP, "resource": RESOURCE, "desiredConfig": desired} | more


OTHER = {"group": "other", "resource": "things", "desiredConfig": {"name": "x", "specHash": ""}}


def test_a_hash_is_of_the_content_alone() -> None:
    assert spec_hash(config(OWN, 1, a=1, b="ü")) == spec_hash(config(SHARED, 2, b="ü", a=1))
    assert spec_hash(config(OWN, a=1)) != spec_hash(config(OWN, a=2))
    assert spec_hash(None) == ""
    # as the addon-framework has it: SHA-256 of {"spec":{"agentInstallNamespace":""}}
    assert spec_hash(CONFIGS[OWN]) == "f242aa3828110ab047168877d0f8e9c7f29ee3f25919eb6ee506c2aff35f1b3f"


def addon(*references: dict[str, Any], own: tuple[ConfigKey, ...] = ()) -> dict[str, Any]:
    configs = [{"group": GROUP, "resource": RESOURCE, "namespace": k[0], "name": k[1]} for k in own]
    return {"spec": {"configs": configs}, "status": {"configReferences": list(references)}}


def test_what_a_cluster_names_itself_gets_its_hash_and_what_comes_from_placements_keeps_it() -> None:
    found = of_one(addon(reference(OWN), reference(SHARED, "theirs"), OTHER, own=(OWN,)), CONFIGS.get)
    assert found == {
        "configReferences": [
            reference(OWN, spec_hash(CONFIGS[OWN]), lastObservedGeneration=3),
            reference(SHARED, "theirs", lastObservedGeneration=4),
            OTHER,
        ]
    }
    assert of_one(addon(*found["configReferences"], own=(OWN,)), CONFIGS.get) == {}, "nothing more is to be changed"
    assert of_one(addon(reference(("c1", "missing")), own=(("c1", "missing"),)), CONFIGS.get) == {}
    assert of_one({"metadata": {}}, CONFIGS.get) == {}


def test_defaults_and_what_placements_name_get_their_hashes_in_the_add_on() -> None:
    placement = {"namespace": "ns", "name": "all", "conditions": []}
    status = {
        "defaultconfigReferences": [reference(SHARED)],
        "installProgressions": [placement, placement | {"configReferences": [reference(OWN), OTHER]}],
    }
    found = of_all({"status": status}, CONFIGS.get)
    assert found == {
        "defaultconfigReferences": [reference(SHARED, spec_hash(CONFIGS[SHARED]))],
        "installProgressions": [placement, placement | {"configReferences": [reference(OWN, spec_hash(CONFIGS[OWN])), OTHER]}],
    }
    assert of_all({"status": found}, CONFIGS.get) == {}
    assert of_all({"status": {"installProgressions": [placement]}}, CONFIGS.get) == {}
    gone = of_all({"status": found}, lambda _: None)
    assert gone["defaultconfigReferences"] == [reference(SHARED)], "of one that is gone there is no hash"


def test_a_change_of_a_configuration_concerns_who_uses_it() -> None:
    assert uses(addon(reference(OWN)), OWN)
    assert not uses(addon(reference(OWN)), SHARED)
    assert not uses({}, OWN)
