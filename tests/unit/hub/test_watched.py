"""Which runs a change affects."""

from __future__ import annotations

import json
import tracemalloc
from copy import deepcopy
from typing import Any

import pytest

from panal.api.names import LABEL_COMPONENT, LABEL_RUN, LABEL_RUN_NAMESPACE, LABEL_RUN_UID
from panal.hub.watched import BY_REQUESTER, PLACEMENT_LABEL, affected, affects_no_run, watched
from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.kinds import Kind
from panal.kube.store import Store
from requests_of_certificates import GRPC_SERVER, relayed, request


class Runs(Cache):
    """A cache with three runs: one waits, one has ended, one runs in another namespace."""

    def __init__(self) -> None:
        self.runs = [self.run("a", "ns", "Waiting"), self.run("b", "ns", "Completed"), self.run("c", "other", "Running")]

    @staticmethod
    def run(name: str, namespace: str, phase: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": namespace}, "status": {"phase": phase}}

    def list(self, kind: Kind, namespace: str | None = None) -> list[dict[str, Any]]:
        return [r for r in self.runs if namespace in (None, r["metadata"]["namespace"])]

    def by_index(self, kind: Kind, index: str, value: str) -> list[dict[str, Any]]:
        (function,) = (each.indexes[index] for each in watched() if each.kind == kind)
        return [run for run in self.runs if value in function(run)]


@pytest.mark.parametrize(
    ("kind", "metadata", "runs"),
    [
        (kinds.FEDERATED_LEARNING, {"name": "a", "namespace": "ns"}, ["ns/a"]),
        (kinds.MANIFEST_WORK, {"name": "w", "namespace": "c1", "labels": {LABEL_RUN: "a", LABEL_RUN_NAMESPACE: "ns"}}, ["ns/a"]),
        (kinds.PLACEMENT_DECISION, {"name": "d", "namespace": "ns", "labels": {PLACEMENT_LABEL: "a"}}, ["ns/a"]),
        (kinds.PLACEMENT_DECISION, {"name": "d", "namespace": "ns"}, []),
        (kinds.MANAGED_CLUSTER, {"name": "c1"}, ["ns/a", "other/c"]),
        (kinds.MANAGED_CLUSTER_ADDON, {"name": "fl-collaborator", "namespace": "c1"}, ["ns/a", "other/c"]),
        (kinds.ADDON_DEPLOYMENT_CONFIG, {"name": "all", "namespace": "panal-system"}, ["ns/a", "other/c"]),
        (kinds.CERTIFICATE_SIGNING_REQUEST, {"name": "csr-1"}, []),
        (kinds.MANAGED_CLUSTER_SET_BINDING, {"name": "global", "namespace": "ns"}, ["ns/a"]),
        (kinds.GATEWAY, {"name": "fl", "namespace": "gateways"}, ["ns/a", "other/c"]),
        (kinds.INGRESS_CLASS, {"name": "nginx"}, ["ns/a", "other/c"]),
        (kinds.ROUTE, {"name": "r", "namespace": "ns", "labels": {LABEL_RUN: "a", LABEL_RUN_NAMESPACE: "ns"}}, ["ns/a"]),
    ],
)
def test_a_change_affects_its_run_or_all_unfinished_runs(kind: Kind, metadata: dict[str, Any], runs: list[str]) -> None:
    assert [f"{k.namespace}/{k.name}" for k in affected(Runs(), kind, {"metadata": metadata})] == runs


def test_a_run_that_waits_for_the_model_of_another_one_follows_it() -> None:
    cache = Runs()
    for name, run, status in (("next", "a", {}), ("begun", "a", {"startTime": "2026-03-01T12:00:00Z"}), ("apart", "b", {})):
        spec = {"server": {"initialModel": {"run": run}}}
        cache.runs.append({"metadata": {"name": name, "namespace": "ns"}, "spec": spec, "status": status})
    found = affected(cache, kinds.FEDERATED_LEARNING, {"metadata": {"name": "a", "namespace": "ns"}})
    assert [key.name for key in found] == ["a", "next"]


def cluster(heartbeat: str, **more: Any) -> dict[str, Any]:
    conditions = [{"type": "ManagedClusterConditionAvailable", "status": "True", "lastTransitionTime": heartbeat}]
    return {"metadata": {"name": "c1"}, "status": {"conditions": conditions} | more}


def gateway(attached: int, address: str) -> dict[str, Any]:
    status = {"addresses": [{"value": address}], "listeners": [{"name": "fl", "attachedRoutes": attached}]}
    return {"metadata": {"name": "fl", "namespace": "gateways", "uid": "u"}, "spec": {"gatewayClassName": "c"}, "status": status}


def test_a_further_route_of_a_gateway_affects_no_run() -> None:
    assert affects_no_run(kinds.GATEWAY, gateway(1, "192.0.2.1"), gateway(2, "192.0.2.1"))
    assert not affects_no_run(kinds.GATEWAY, gateway(1, "192.0.2.1"), gateway(1, "192.0.2.2"))
    gone = gateway(1, "192.0.2.1")
    gone["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    assert not affects_no_run(kinds.GATEWAY, gateway(1, "192.0.2.1"), gone)


def test_a_heartbeat_affects_no_run() -> None:
    assert affects_no_run(kinds.MANAGED_CLUSTER, cluster("1"), cluster("2"))


def test_a_new_cluster_claim_affects_runs() -> None:
    assert not affects_no_run(kinds.MANAGED_CLUSTER, cluster("1"), cluster("2", clusterClaims=[{"name": "a", "value": "b"}]))


def test_each_kind_is_watched_once() -> None:
    assert len({w.kind for w in watched()}) == len(watched())


def addon(**more: Any) -> dict[str, Any]:
    conditions = [{"type": "Available", "status": more.pop("available", "True")}]
    conditions += [{"type": "ClusterCertificateRotated", "status": more.pop("rotated", "True"), "message": ""}]
    metadata = {"name": "fl-collaborator", "namespace": "c1", "uid": "u", "annotations": more.pop("annotations", {})}
    return {"metadata": metadata, "spec": more.pop("spec", {}), "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("change", "affects"),
    [
        ({"available": "False"}, False),
        ({"annotations": {"fl.panal/certificates": "[]"}}, False),
        ({"rotated": "False"}, True),
        ({"annotations": {"fl.panal/revoked": "2030-01-01T00:00:00Z"}}, True),
        ({"spec": {"configs": [{"name": "own"}]}}, True),
    ],
)
def test_which_changes_of_an_add_on_affect_runs(change: dict[str, Any], affects: bool) -> None:
    assert affects_no_run(kinds.MANAGED_CLUSTER_ADDON, addon(), addon(**change)) is not affects


def test_requests_are_indexed_by_requester_and_answered_ones_are_trimmed() -> None:
    watch = next(w for w in watched() if w.kind == kinds.CERTIFICATE_SIGNING_REQUEST)
    assert watch.field_selector == "spec.signerName=fl.panal/collaborator"
    spec = {"username": "system:open-cluster-management:c1:a", "signerName": "fl.panal/collaborator", "request": "x"}
    csr = {"metadata": {"name": "csr", "managedFields": []}, "spec": spec}
    assert list(watch.indexes[BY_REQUESTER](csr)) == ["c1"]
    assert list(watch.indexes[BY_REQUESTER]({"spec": {"username": "c1"}})) == ["user:c1"]
    assert watch.trim(csr)["spec"]["request"] == "x"
    answered = watch.trim({"metadata": {"name": "csr"}, "spec": spec, "status": {"certificate": "y"}})
    assert "request" not in answered["spec"]
    assert list(watch.indexes[BY_REQUESTER](answered)) == ["c1"]


def test_requests_through_the_grpc_server_are_indexed_by_the_agent_it_names_also_when_they_are_answered() -> None:
    index = {server: _of_requests(server).indexes[BY_REQUESTER] for server in ("", GRPC_SERVER)}
    csr = relayed(request("c1"))
    answered = _of_requests(GRPC_SERVER).trim(deepcopy(csr | {"status": {"certificate": "y"}}))
    assert [list(index[GRPC_SERVER](each)) for each in (csr, answered)] == [["c1"], ["c1"]]
    assert list(index[""](csr)) == [f"user:{GRPC_SERVER}"]
    assert list(index[GRPC_SERVER](relayed(request("c1", username="grpc-bootstrap")))) == [f"user:{GRPC_SERVER}"]


def _of_requests(grpc_server: str) -> Watched:
    return next(w for w in watched(grpc_server) if w.kind == kinds.CERTIFICATE_SIGNING_REQUEST)


def replicated(state: str | None, version: str = "1", name: str = "team.fl-site") -> dict[str, Any]:
    """The copy of a policy in a cluster's namespace, as the API server sends it."""
    labels = {"policy.open-cluster-management.io/root-policy": name, "policy.open-cluster-management.io/cluster-name": "c1"}
    metadata = {"name": name, "namespace": "c1", "uid": "u", "resourceVersion": version, "labels": labels, "managedFields": []}
    history = [{"message": f"Compliant; notification {version}"}]
    status = {} if state is None else {"compliant": state, "details": [{"compliant": state, "history": history}]}
    policy = {"objectDefinition": {"kind": "ConfigurationPolicy", "spec": {"object-templates": []}}}
    return {"metadata": metadata, "spec": {"disabled": False, "policy-templates": [policy]}, "status": status}


def requiring(name: str, namespace: str, phase: str, *policies: dict[str, str]) -> dict[str, Any]:
    return Runs.run(name, namespace, phase) | {"spec": {"client": {"requirePolicies": list(policies)}}}


def test_a_policy_affects_the_runs_that_require_it() -> None:
    cache = Runs()
    cache.runs += [
        requiring("own", "team", "Waiting", {"name": "fl-site"}),
        requiring("named", "other", "Running", {"name": "x"}, {"name": "fl-site", "namespace": "team"}),
        requiring("ended", "team", "Completed", {"name": "fl-site"}),
        requiring("another", "other", "Running", {"name": "fl-site"}),
    ]
    assert [key.name for key in affected(cache, kinds.POLICY, replicated("Compliant"))] == ["own", "named"]


def test_of_a_policy_only_the_compliance_is_kept_and_only_a_change_of_it_affects_runs() -> None:
    (watch,) = (each for each in watched() if each.kind == kinds.POLICY)
    assert (watch.optional, watch.label_selector) == (True, "policy.open-cluster-management.io/root-policy")
    first, same, worse = (watch.trim(replicated(*each)) for each in (("Compliant", "1"), ("Compliant", "2"), ("NonCompliant", "3")))
    kept = {"name": "team.fl-site", "namespace": "c1", "resourceVersion": "1"}
    assert first == {"metadata": kept, "status": {"compliant": "Compliant"}}
    assert affects_no_run(kinds.POLICY, first, same)
    assert not affects_no_run(kinds.POLICY, same, worse)
    assert not affects_no_run(kinds.POLICY, None, first)
    assert watch.trim(replicated(None))["status"] == {"compliant": ""}


def test_the_policies_of_a_large_hub_need_little_memory() -> None:
    (watch,) = (each for each in watched() if each.kind == kinds.POLICY)
    store = Store(watch.indexes)
    tracemalloc.start()
    try:
        for cluster_number in range(100):
            for policy_number in range(20):
                policy = json.loads(json.dumps(replicated("Compliant", str(cluster_number * 20 + policy_number), f"team.p{policy_number}")))
                policy["metadata"]["namespace"] = f"c{cluster_number}"
                store.put(watch.trim(policy))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(store) == 2000
    assert kept / len(store) < 700  # bytes: 49 MB for 20 policies on each of 3,500 clusters


def config_map(component: str, content: str) -> dict[str, Any]:
    labels = {LABEL_COMPONENT: component, LABEL_RUN_UID: "u"}
    about = {"name": f"digits-{content}", "namespace": "team", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"a": content}, "binaryData": {"history": content}}


def test_a_runs_history_is_not_kept_and_affects_no_run() -> None:
    (trim,) = (each.trim for each in watched() if each.kind == kinds.CONFIG_MAP)
    assert trim
    assert "binaryData" not in trim(config_map("history", "a" * 100_000))
    assert trim(config_map("aggregator", "b"))["data"] == {"a": "b"}
    assert affects_no_run(kinds.CONFIG_MAP, config_map("history", "a"), config_map("history", "b"))
    assert not affects_no_run(kinds.CONFIG_MAP, config_map("aggregator", "a"), config_map("aggregator", "b"))
    assert not affects_no_run(kinds.CONFIG_MAP, config_map("history", "a"), None)  # somebody deleted it: it is created again
