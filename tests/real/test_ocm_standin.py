"""The stand-in for Open Cluster Management against the real one: the same list of works, the same situations of clusters, the same kinds.

What is expected of works stands in tests/support/ocm_contract.yaml. Here the real one is held to it; on the embedded API server the
stand-in is (local/tests/unit/ocm/test_end_to_end.py), and here on a real API server too, which is hub and managed cluster at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import ocm_contract
from api import Api, api
from cluster import Cluster, ocm_crds
from fleet import Fleet
from ocm_contract import Runner
from panal.kube import kinds
from panal_local.ocm import crds
from standin import Standin
from waiting import eventually

pytestmark = pytest.mark.real

NS = "situations"
CASES = ocm_contract.load()
SHARED = {".spec", ".status.conditions"}  # that all our definitions have, also where the real one has none


@pytest.fixture(scope="module")
def standin(empty_api: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standin]:
    server = empty_api.kubeconfig
    made = Standin(tmp_path_factory.mktemp("ocm"), ("cluster1",), kubeconfigs={"hub": server, "cluster1": server})
    try:
        made.up()
        eventually(lambda: available(made["hub"]) == "True", "cluster1 is available", 60)
        yield made
    finally:
        made.down()


def available(hub: Api) -> str:
    known = hub.get(kinds.MANAGED_CLUSTER, "", "cluster1") or {}
    found = [c["status"] for c in (known.get("status") or {}).get("conditions") or () if c["type"] == "ManagedClusterConditionAvailable"]
    return found[0] if found else ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_real_one_does_what_the_list_says(ocm: Fleet, case: dict[str, Any]) -> None:
    Runner(api(ocm.hub.kubeconfig), api(ocm["cluster1"].kubeconfig), "cluster1").run(case, ocm_contract.expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_stand_in_does_so_on_a_real_api_server(standin: Standin, case: dict[str, Any]) -> None:
    Runner(standin["hub"], standin["cluster1"], "cluster1").run(case, ocm_contract.expected)


# --- situations ---------------------------------------------------------------------------------------------------------
def told(hub: Api) -> dict[str, Any]:
    """What the hub says of its clusters, sets, bindings, placements and add-ons, without names of this one hub, times and numbers."""
    sets = {s["metadata"]["name"]: (s["spec"], conditions(s)) for s in hub.list(kinds.MANAGED_CLUSTER_SET)}
    bindings = {b["metadata"]["name"]: conditions(b) for b in hub.list(kinds.MANAGED_CLUSTER_SET_BINDING, NS)}
    placements = {p["metadata"]["name"]: conditions(p) for p in hub.list(kinds.PLACEMENT, NS)}
    addons = {a["metadata"]["name"]: conditions(a, "Available") for a in hub.list(kinds.MANAGED_CLUSTER_ADDON, "cluster1")}
    cluster = hub.get(kinds.MANAGED_CLUSTER, "", "cluster1") or {}
    metadata = cluster["metadata"]
    return {
        "cluster": conditions(cluster, "ManagedClusterConditionClockSynced"),
        "finalizers": sorted(metadata["finalizers"]),
        "labels": {name: value for name, value in metadata["labels"].items() if not name.startswith("feature.")},
        "taints": [(t["key"], t["effect"]) for t in cluster["spec"].get("taints") or []],
        "sets": {name: sets[name] for name in ("default", "global", "nobody")},
        "bindings": bindings,
        "placements": placements,
        "add-ons": addons,
        "configured": configured(hub),
        "namespace": (hub.get(kinds.NAMESPACE, "", "cluster1") or {})["metadata"]["labels"],
        "lease": (hub.get(kinds.LEASE, "cluster1", "managed-cluster-lease") or {})["metadata"]["labels"],
    }


def configured(hub: Api) -> Any:
    """Which configuration the add-on has on cluster1."""
    installed = hub.get(kinds.MANAGED_CLUSTER_ADDON, "cluster1", "configured") or {}
    return _set((installed.get("status") or {}).get("configReferences"))


def _set(value: Any) -> Any:
    """Without fields that are null: the real one writes them for what is not there yet."""
    if isinstance(value, dict):
        return {key: _set(each) for key, each in value.items() if each is not None}
    return [_set(each) for each in value] if isinstance(value, list | tuple) else value


def conditions(obj: dict[str, Any], *but: str) -> dict[str, tuple[str, str]]:
    """Without what the stand-in does not say: how the clock is, and whether an add-on's agent renews a lease."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return {c["type"]: (c["status"], c["reason"]) for c in found if c["type"] not in but}


def prepare(hub: Api) -> None:
    """Sets and bindings that are and are not, placements for every reason, an add-on to install and one that is its own manager's."""
    hub.make_namespace(NS)
    cluster, addon = "cluster.open-cluster-management.io/", "addon.open-cluster-management.io/v1alpha1"

    def apply(version: str, kind: str, name: str, namespace: str = "", **more: Any) -> None:
        hub.apply(
            {"apiVersion": version, "kind": kind, "metadata": {"name": name} | ({"namespace": namespace} if namespace else {})} | more
        )

    apply(f"{cluster}v1beta2", "ManagedClusterSet", "nobody")
    for name in ("default", "nobody", "absent"):
        apply(f"{cluster}v1beta2", "ManagedClusterSetBinding", name, NS, spec={"clusterSet": name})
    none = [{"requiredClusterSelector": {"labelSelector": {"matchLabels": {"no": "such"}}}}]
    specs: dict[str, dict[str, Any]] = {
        "one": {"clusterSets": ["default"], "numberOfClusters": 1},
        "many": {"numberOfClusters": 9, "clusterSets": ["default"]},
        "none": {"predicates": none},
        "empty": {"clusterSets": ["nobody"]},
        "unbound": {"clusterSets": ["global"]},
        "wrong": {"tolerations": [{"operator": "Exists", "value": "x"}]},
        "claimed": {
            "predicates": [{"requiredClusterSelector": {"claimSelector": {"matchExpressions": [{"key": "c", "operator": "Exists"}]}}}]
        },
        "not-claimed": {
            "predicates": [{"requiredClusterSelector": {"claimSelector": {"matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]}}}]
        },
        "cel": {
            "predicates": [{"requiredClusterSelector": {"celSelector": {"celExpressions": ['managedCluster.metadata.name == "cluster1"']}}}]
        },
        "wrong-cel": {"predicates": [{"requiredClusterSelector": {"celSelector": {"celExpressions": ["managedCluster."]}}}]},
        "wrong-score": {"prioritizerPolicy": {"configurations": [{"scoreCoordinate": {"builtIn": "Size"}}]}},
    }
    for name, spec in specs.items():
        apply(f"{cluster}v1beta1", "Placement", name, NS, spec=spec)
    strategy = {"installStrategy": {"type": "Placements", "placements": [{"namespace": NS, "name": "one"}]}}
    apply(addon, "ClusterManagementAddOn", "installed", spec=strategy)
    config = {"group": "addon.open-cluster-management.io", "resource": "addondeploymentconfigs"}
    for name in ("usual", "special"):
        apply(addon, "AddOnDeploymentConfig", name, NS, spec={"customizedVariables": [{"name": "WHICH", "value": name}]})
    placed = {"namespace": NS, "name": "many", "configs": [config | {"namespace": NS, "name": "special"}]}
    spec = {
        "supportedConfigs": [config | {"defaultConfig": {"namespace": NS, "name": "usual"}}],
        "installStrategy": {"type": "Placements", "placements": [{"namespace": NS, "name": "empty"}, placed]},
    }
    apply(addon, "ClusterManagementAddOn", "configured", spec=spec)
    lifecycle = {"annotations": {"addon.open-cluster-management.io/lifecycle": "self"}}
    hub.apply({"apiVersion": addon, "kind": "ClusterManagementAddOn", "metadata": {"name": "selfmade"} | lifecycle, "spec": strategy})


def test_the_same_situations_are_told_alike(ocm: Fleet, standin: Standin) -> None:
    real = api(ocm.hub.kubeconfig)
    for hub in (real, standin["hub"]):
        prepare(hub)
    eventually(lambda: told(real)["configured"], "the real one is done", 60)
    failure: list[str] = []

    def alike() -> bool:
        ours, theirs = told(standin["hub"]), told(real)
        failure[:] = [f"{key}: ours {ours[key]}, real {theirs[key]}" for key in theirs if ours[key] != theirs[key]]
        return not failure

    try:
        eventually(alike, "both tell the same", 40)
    except AssertionError:
        raise AssertionError("\n".join(failure)) from None


# --- kinds ---------------------------------------------------------------------------------------------------------------
def real_schemas(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for path in (*folder.glob("*.yaml"), *folder.glob("alt-addon-v1alpha1-only/*.yaml")):
        crd = yaml.safe_load(path.read_text())
        for version in crd["spec"]["versions"]:
            found[crd["metadata"]["name"], version["name"]] = {**crd["spec"], "version": version}
    return found


def differences(ours: dict[str, Any], real: dict[str, Any], path: str = "") -> Iterator[str]:
    """Fields that only our schema knows, and types and defaults that are others there."""
    for key in ("type", "default"):
        if key in ours and key in real and ours[key] != real[key]:
            yield f"{path} {key}: {ours[key]}, real {real[key]}"
    for name, schema in ours.get("properties", {}).items():
        if name in real.get("properties", {}):
            yield from differences(schema, real["properties"][name], f"{path}.{name}")
        elif f"{path}.{name}" not in SHARED:
            yield f"{path}.{name} unknown to the real one"
    if "items" in ours:
        yield from differences(ours["items"], real["items"], f"{path}[]")


@pytest.mark.parametrize("crd", [*crds.hub(), *crds.spoke()], ids=lambda crd: crd["spec"]["names"]["kind"])
def test_our_kinds_are_the_real_ones(crd: dict[str, Any]) -> None:
    version = crd["spec"]["versions"][0]
    real = real_schemas(ocm_crds())[crd["metadata"]["name"], version["name"]]
    assert crd["spec"]["names"] == real["names"]
    assert crd["spec"]["scope"] == real["scope"]
    assert version.get("subresources") == real["version"].get("subresources")
    own, theirs = (v["schema"]["openAPIV3Schema"] for v in (version, real["version"]))
    assert sorted(differences(own, theirs)) == []
