"""A hub and two managed clusters on three local API servers, from joining to removal, as with Open Cluster Management."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import ocm_contract
from ocm_contract import Runner
from panal.kube import kinds
from panal.kube.objects import Object
from standin import Standin
from waiting import eventually

SOON = 30
NS = "runs"
TOLERANT = {"tolerations": [{"operator": "Exists"}]}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standin]:
    made = Standin(tmp_path_factory.mktemp("ocm"), ("cluster1", "cluster2"))
    try:
        made.up()
        for name in made.clusters:
            eventually(lambda name=name: available(made, name) == "True", f"{name} is available", 60)
        made["hub"].make_namespace(NS)
        yield made
    finally:
        made.down()


def condition(obj: Object | None, type_: str) -> dict[str, Any]:
    found = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((c for c in found if c["type"] == type_), {})


def cluster(fleet: Standin, name: str) -> Object:
    return fleet["hub"].get(kinds.MANAGED_CLUSTER, "", name) or {}


def available(fleet: Standin, name: str) -> str:
    return condition(cluster(fleet, name), "ManagedClusterConditionAvailable").get("status", "")


def taints(fleet: Standin, name: str) -> list[str]:
    return [t["key"].rpartition("/")[2] for t in (cluster(fleet, name).get("spec") or {}).get("taints") or []]


def cluster_object(api_version: str, kind: str, name: str, namespace: str = "", **more: Any) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | more


def selected(fleet: Standin, placement: str) -> list[str]:
    label = f"cluster.open-cluster-management.io/placement={placement}"
    decisions = fleet["hub"].list(kinds.PLACEMENT_DECISION, NS, label)
    return sorted(d["clusterName"] for each in decisions for d in (each.get("status") or {}).get("decisions") or [])


def place(fleet: Standin, name: str, **spec: Any) -> None:
    fleet["hub"].apply(cluster_object("cluster.open-cluster-management.io/v1beta1", "Placement", name, NS, spec=spec))


def test_clusters_join(fleet: Standin) -> None:
    known = cluster(fleet, "cluster1")
    assert {c["type"]: c["status"] for c in known["status"]["conditions"]} == {
        "HubAcceptedManagedCluster": "True",
        "ManagedClusterJoined": "True",
        "ManagedClusterConditionAvailable": "True",
    }
    assert known["metadata"]["labels"]["cluster.open-cluster-management.io/clusterset"] == "default"
    assert known["status"]["version"]["kubernetes"].startswith("v1.")
    eventually(lambda: taints(fleet, "cluster1") == [], "its taint goes", SOON)
    sets = {s["metadata"]["name"] for s in fleet["hub"].list(kinds.MANAGED_CLUSTER_SET)}
    assert sets == {"default", "global"}


def test_resources_and_claims_are_reported(fleet: Standin) -> None:
    spoke = fleet["cluster1"]
    spoke.apply(cluster_object("v1", "Node", "n1"))
    spoke.patch_status(kinds.NODE, "", "n1", capacity={"cpu": "2", "memory": "1Gi"}, allocatable={"cpu": "1500m", "memory": "1Gi"})
    spoke.apply(cluster_object("cluster.open-cluster-management.io/v1alpha1", "ClusterClaim", "data", spec={"value": "/data"}))
    eventually(lambda: cluster(fleet, "cluster1")["status"].get("allocatable") == {"cpu": "1500m", "memory": "1Gi"}, "resources", SOON)
    claims = [{"name": "data", "value": "/data"}]
    eventually(lambda: cluster(fleet, "cluster1")["status"].get("clusterClaims") == claims, "claims", SOON)
    spoke.delete(kinds.NODE, "", "n1")
    eventually(lambda: "allocatable" not in cluster(fleet, "cluster1")["status"], "no node, no resources", SOON)


def test_a_namespace_is_bound_once(fleet: Standin) -> None:
    hub = fleet["hub"]
    bound = eventually(lambda: hub.get(kinds.MANAGED_CLUSTER_SET_BINDING, NS, "default"), "the binding", SOON)
    eventually(lambda: condition(hub.get(kinds.MANAGED_CLUSTER_SET_BINDING, NS, "default"), "Bound").get("status") == "True", "Bound", SOON)
    assert bound["spec"] == {"clusterSet": "default"}
    assert hub.get(kinds.MANAGED_CLUSTER_SET_BINDING, "cluster1", "default") is None
    assert hub.get(kinds.MANAGED_CLUSTER_SET_BINDING, "kube-system", "default") is None


def test_a_placement_follows_labels_and_claims(fleet: Standin) -> None:
    claim = {"matchExpressions": [{"key": "place", "operator": "Exists"}]}
    place(fleet, "all", **TOLERANT)
    place(fleet, "claimed", predicates=[{"requiredClusterSelector": {"claimSelector": claim}}])
    eventually(lambda: selected(fleet, "all") == ["cluster1", "cluster2"], "all", SOON)
    status = eventually(lambda: (fleet["hub"].get(kinds.PLACEMENT, NS, "claimed") or {}).get("status"), "its status", SOON)
    assert {c["type"]: c["reason"] for c in status["conditions"]} == {
        "PlacementSatisfied": "NoManagedClusterMatched",
        "PlacementMisconfigured": "Succeedconfigured",
    }
    fleet["cluster2"].apply(cluster_object("cluster.open-cluster-management.io/v1alpha1", "ClusterClaim", "place", spec={"value": "here"}))
    eventually(lambda: selected(fleet, "claimed") == ["cluster2"], "the claim comes", SOON)
    fleet["cluster2"].delete(kinds.CLUSTER_CLAIM, "", "place")
    eventually(lambda: selected(fleet, "claimed") == [], "the claim goes", SOON)


@pytest.mark.parametrize("case", ocm_contract.load(), ids=lambda case: case["name"])
def test_works_match_those_of_open_cluster_management(fleet: Standin, case: dict[str, Any]) -> None:
    Runner(fleet["hub"], fleet["cluster1"], "cluster1").run(case, ocm_contract.expected)


def work(name: str, *manifests: Object, **spec: Any) -> Object:
    return cluster_object(
        "work.open-cluster-management.io/v1", "ManifestWork", name, "cluster1", spec={"workload": {"manifests": list(manifests)}} | spec
    )


def feedback(fleet: Standin, name: str) -> list[dict[str, Any]]:
    status = (fleet["hub"].get(kinds.MANIFEST_WORK, "cluster1", name) or {}).get("status") or {}
    manifests = (status.get("resourceStatus") or {}).get("manifests") or []
    return [v for m in manifests for v in (m.get("statusFeedback") or {}).get("values") or []]


def value(fleet: Standin, name: str) -> Any:
    return [v["fieldValue"].get("string") for v in feedback(fleet, name)]


def watched(name: str) -> dict[str, Any]:
    rules = [{"type": "JSONPaths", "jsonPaths": [{"name": "v", "path": ".status.message"}]}]
    identifier = {"group": "", "resource": "pods", "name": name, "namespace": "default"}
    return {"resourceIdentifier": identifier, "updateStrategy": {"type": "ReadOnly"}, "feedbackRules": rules}


def test_feedback_of_a_pod_is_prompt_and_a_killed_agent_continues(fleet: Standin) -> None:
    hub, spoke = fleet["hub"], fleet["cluster1"]
    spoke.apply(cluster_object("v1", "ServiceAccount", "default", "default"))
    spoke.apply(cluster_object("v1", "Pod", "progress", "default", spec={"containers": [{"name": "c", "image": "x:1"}]}))
    spoke.patch_status(kinds.POD, "default", "progress", message="1")
    mine = cluster_object("v1", "ConfigMap", "mine", "default", data={"k": "v"})
    hub.apply(work("progress", cluster_object("v1", "Pod", "progress", "default"), mine, manifestConfigs=[watched("progress")]))
    eventually(lambda: value(fleet, "progress") == ["1"], "the first value", SOON)
    spoke.patch_status(kinds.POD, "default", "progress", message="2")
    eventually(lambda: value(fleet, "progress") == ["2"], "the next one, long before a poll", 5)
    fleet.kill("cluster1-agent")
    spoke.patch_status(kinds.POD, "default", "progress", message="3")
    spoke.patch(kinds.CONFIG_MAP, "default", "mine", data={"k": "edited"})
    fleet.start("cluster1-agent")
    eventually(lambda: value(fleet, "progress") == ["3"], "what happened meanwhile", SOON)
    eventually(lambda: (spoke.get(kinds.CONFIG_MAP, "default", "mine") or {})["data"] == {"k": "v"}, "drift is mended", SOON)


def collaborator(address: str) -> Object:
    """Manifests as in works of panal: a namespace that stays, a StatefulSet, and its Pod, which is ReadOnly."""
    pod = {"containers": [{"name": "c", "image": "x:1"}]}
    labels = {"matchLabels": {"run": "r"}}
    spec = {"serviceName": "s", "replicas": 1, "selector": labels, "template": {"metadata": {"labels": {"run": "r"}}, "spec": pod}}
    rule = {"group": "", "resource": "namespaces", "name": "kept", "namespace": ""}
    phase = [{"type": "JSONPaths", "jsonPaths": [{"name": "phase", "path": ".status.phase"}]}]
    configs = [
        {"resourceIdentifier": rule, "updateStrategy": {"type": "CreateOnly"}},
        {
            "resourceIdentifier": {"group": "", "resource": "pods", "name": "s-0", "namespace": "kept"},
            "updateStrategy": {"type": "ReadOnly"},
            "feedbackRules": phase,
        },
    ]
    return work(
        "collaborator",
        cluster_object("v1", "Namespace", "kept"),
        cluster_object("v1", "ConfigMap", "s", "kept", data={"address": address}),
        cluster_object("apps/v1", "StatefulSet", "s", "kept", spec=spec),
        cluster_object("v1", "Pod", "s-0", "kept"),
        manifestConfigs=configs,
        deleteOption={"propagationPolicy": "SelectivelyOrphan", "selectivelyOrphans": {"orphaningRules": [rule]}},
    )


def test_the_life_of_a_collaborator(fleet: Standin) -> None:
    hub, spoke = fleet["hub"], fleet["cluster1"]
    hub.apply(collaborator("a:1"))
    made = eventually(lambda: spoke.get(kinds.STATEFUL_SET, "kept", "s"), "the StatefulSet", SOON)
    spoke.apply(cluster_object("v1", "ServiceAccount", "default", "kept"))
    pod = cluster_object("v1", "Pod", "s-0", "kept", spec=made["spec"]["template"]["spec"])
    spoke.apply(pod)
    spoke.patch_status(kinds.POD, "kept", "s-0", phase="Running")
    eventually(lambda: value(fleet, "collaborator") == ["Running"], "what the hub sees of its Pod", SOON)
    hub.apply(collaborator("b:2"))
    eventually(lambda: (spoke.get(kinds.CONFIG_MAP, "kept", "s") or {})["data"] == {"address": "b:2"}, "the new address", SOON)
    after = spoke.get(kinds.STATEFUL_SET, "kept", "s") or {}
    assert after["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"], "the StatefulSet is not touched"
    hub.delete(kinds.MANIFEST_WORK, "cluster1", "collaborator")
    eventually(lambda: hub.get(kinds.MANIFEST_WORK, "cluster1", "collaborator") is None, "the work is gone", SOON)
    assert spoke.get(kinds.STATEFUL_SET, "kept", "s") is None
    namespace = spoke.get(kinds.NAMESPACE, "", "kept") or {}
    assert "deletionTimestamp" not in namespace["metadata"]
    assert "ownerReferences" not in namespace["metadata"]


def test_a_work_deleted_without_its_agent_is_removed_after_the_restart(fleet: Standin) -> None:
    hub, spoke = fleet["hub"], fleet["cluster1"]
    fleet.kill("cluster1-agent")
    hub.delete(kinds.MANIFEST_WORK, "cluster1", "progress")
    assert hub.get(kinds.MANIFEST_WORK, "cluster1", "progress")["metadata"]["deletionTimestamp"]
    fleet.start("cluster1-agent")
    eventually(lambda: hub.get(kinds.MANIFEST_WORK, "cluster1", "progress") is None, "the work is gone", SOON)
    assert spoke.get(kinds.CONFIG_MAP, "default", "mine") is None
    assert spoke.get(kinds.POD, "default", "progress"), "read only, so it stays"
    assert spoke.list(kinds.APPLIED_MANIFEST_WORK) == []


def applied(fleet: Standin, name: str) -> bool:
    return condition(fleet["hub"].get(kinds.MANIFEST_WORK, "cluster1", name), "Applied").get("status") == "True"


def test_nothing_is_written_without_changes(fleet: Standin) -> None:
    """A restart of all processes reconciles everything and changes no version."""

    def versions() -> dict[str, str]:
        hub = [
            kinds.MANAGED_CLUSTER,
            kinds.MANAGED_CLUSTER_SET,
            kinds.PLACEMENT,
            kinds.PLACEMENT_DECISION,
            kinds.MANAGED_CLUSTER_SET_BINDING,
        ]
        found = [o for kind in (*hub, kinds.MANIFEST_WORK, kinds.NAMESPACE) for o in fleet["hub"].list(kind)]
        found += [o for kind in (kinds.APPLIED_MANIFEST_WORK, kinds.CONFIG_MAP) for o in fleet["cluster1"].list(kind)]
        return {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for o in found}

    fleet["hub"].apply(work("still", cluster_object("v1", "ConfigMap", "still", "default", data={"k": "v"})))
    eventually(lambda: applied(fleet, "still"), "applied", SOON)
    eventually(lambda: versions() == versions(), "calm", SOON)
    before = versions()
    for name in ("ocm", "cluster1-agent", "cluster2-agent"):
        fleet.kill(name)
        fleet.start(name)
    renewed = lambda: fleet["hub"].get(kinds.LEASE, "cluster1", "managed-cluster-lease")["spec"]["renewTime"]  # noqa: E731
    first = renewed()
    eventually(lambda: renewed() != first, "the agent is back", SOON)
    fleet["hub"].apply(work("after", cluster_object("v1", "ConfigMap", "after", "default")))
    eventually(lambda: applied(fleet, "after"), "works again", SOON)
    now = versions()
    assert {uid: version for uid, version in now.items() if uid in before} == before
    for name in ("still", "after"):
        fleet["hub"].delete(kinds.MANIFEST_WORK, "cluster1", name)


def test_outages_of_api_servers(fleet: Standin) -> None:
    """The hub's API server is killed, then also a managed cluster's. Only these are restarted."""
    hub, spoke = fleet["hub"], fleet["cluster1"]
    hub.apply(work("before", cluster_object("v1", "ConfigMap", "before", "default", data={"k": "v"})))
    fleet.kill("hub")
    fleet.kill("cluster1")
    fleet.start("cluster1")
    fleet.start("hub")
    eventually(lambda: fleet.answers("hub") and fleet.answers("cluster1"), "both answer", SOON)
    eventually(lambda: applied(fleet, "before"), "what was asked for is done", SOON)
    eventually(lambda: (spoke.get(kinds.CONFIG_MAP, "default", "before") or {}).get("data") == {"k": "v"}, "on the cluster", SOON)
    hub.delete(kinds.MANIFEST_WORK, "cluster1", "before")
    eventually(lambda: spoke.get(kinds.CONFIG_MAP, "default", "before") is None, "and undone", SOON)
    place(fleet, "later", tolerations=[{"operator": "Exists"}])
    eventually(lambda: selected(fleet, "later") == ["cluster1", "cluster2"], "the hub decides", SOON)


def test_a_deleted_applied_manifest_work_is_created_again_with_its_objects(fleet: Standin) -> None:
    hub, spoke = fleet["hub"], fleet["cluster1"]
    hub.apply(work("recorded", cluster_object("v1", "ConfigMap", "recorded", "default")))
    made = eventually(lambda: spoke.get(kinds.CONFIG_MAP, "default", "recorded"), "applied", SOON)
    record = eventually(
        lambda: [a for a in spoke.list(kinds.APPLIED_MANIFEST_WORK) if a["spec"]["manifestWorkName"] == "recorded"], "recorded", SOON
    )
    eventually(lambda: spoke.get(kinds.APPLIED_MANIFEST_WORK, "", record[0]["metadata"]["name"]).get("status"), "with what it owns", SOON)
    spoke.delete(kinds.APPLIED_MANIFEST_WORK, "", record[0]["metadata"]["name"])

    def another() -> bool:
        found = spoke.get(kinds.CONFIG_MAP, "default", "recorded")
        return found is not None and found["metadata"]["uid"] != made["metadata"]["uid"]

    eventually(another, "created again", SOON)
    hub.delete(kinds.MANIFEST_WORK, "cluster1", "recorded")
    eventually(lambda: spoke.get(kinds.CONFIG_MAP, "default", "recorded") is None, "taken away", SOON)


def test_kill_9_at_any_moment(fleet: Standin) -> None:
    """Works change while the processes are killed in turn; at the end the clusters match the last works."""
    hub, spoke, chance = fleet["hub"], fleet["cluster1"], random.Random(7)
    for round_ in range(5):
        for name in ("k0", "k1", "k2"):
            objects = [
                cluster_object("v1", "ConfigMap", f"{name}-{n}", "default", data={"round": str(round_)})
                for n in range(3)
                if n != round_ % 3
            ]
            hub.apply(work(name, *objects))
        victim = chance.choice(["ocm", "cluster1-agent", "cluster1-agent", "cluster1"])
        time.sleep(chance.random() / 4)  # the moment
        fleet.kill(victim)
        fleet.start(victim)
    eventually(lambda: fleet.answers("cluster1"), "the cluster answers", SOON)
    wanted = {f"k{w}-{n}": {"round": "4"} for w in range(3) for n in (0, 2)}

    def found() -> dict[str, Any]:
        return {c["metadata"]["name"]: c.get("data") for c in spoke.list(kinds.CONFIG_MAP, "default") if c["metadata"]["name"][0] == "k"}

    eventually(lambda: {n: d for n, d in found().items() if n in wanted} == wanted, "all is as asked for last", 60)
    for name in ("k0", "k1", "k2"):
        hub.delete(kinds.MANIFEST_WORK, "cluster1", name)
    eventually(lambda: hub.list(kinds.MANIFEST_WORK, "cluster1") == [], "all works are gone", SOON)
    assert not wanted.keys() & found().keys()


def test_a_lost_cluster_is_tainted_and_returns(fleet: Standin) -> None:
    place(fleet, "plain")
    place(fleet, "all", **TOLERANT)
    eventually(lambda: selected(fleet, "plain") == selected(fleet, "all") == ["cluster1", "cluster2"], "both", SOON)
    fleet["hub"].patch(kinds.MANAGED_CLUSTER, "", "cluster2", spec={"leaseDurationSeconds": 1})
    fleet.pause("cluster2-agent")
    eventually(lambda: available(fleet, "cluster2") == "Unknown", "Unknown", SOON)
    known = condition(cluster(fleet, "cluster2"), "ManagedClusterConditionAvailable")
    assert known["reason"] == "ManagedClusterLeaseUpdateStopped"
    eventually(lambda: taints(fleet, "cluster2") == ["unreachable"], "tainted", SOON)
    eventually(lambda: selected(fleet, "plain") == ["cluster1"], "left", SOON)
    assert selected(fleet, "all") == ["cluster1", "cluster2"], "where that is tolerated"
    fleet["hub"].patch(kinds.MANAGED_CLUSTER, "", "cluster2", spec={"leaseDurationSeconds": 4})
    fleet.go_on("cluster2-agent")
    eventually(lambda: available(fleet, "cluster2") == "True", "True", SOON)
    eventually(lambda: selected(fleet, "plain") == ["cluster1", "cluster2"], "both again", SOON)


def test_an_add_on_is_installed_registered_and_removed(fleet: Standin) -> None:
    hub, spoke = fleet["hub"], fleet["cluster1"]
    here = {"matchLabels": {"addon": "here"}}
    hub.label(kinds.MANAGED_CLUSTER, "cluster1", addon="here")
    place(fleet, "addon", predicates=[{"requiredClusterSelector": {"labelSelector": here}}])
    strategy = {"type": "Placements", "placements": [{"namespace": NS, "name": "addon"}]}
    made = cluster_object("addon.open-cluster-management.io/v1alpha1", "ClusterManagementAddOn", "fed", spec={"installStrategy": strategy})
    hub.apply(made)
    eventually(lambda: hub.get(kinds.MANAGED_CLUSTER_ADDON, "cluster1", "fed"), "installed", SOON)
    assert hub.get(kinds.MANAGED_CLUSTER_ADDON, "cluster2", "fed") is None
    subject = {"user": "fed:cluster1", "groups": ["fed"]}
    registrations = [{"signerName": "example.com/fed", "subject": subject}]
    status = {"namespace": "default", "registrations": registrations}
    hub.patch_subresource(kinds.MANAGED_CLUSTER_ADDON, "cluster1", "fed", "status", status=status)
    csr = eventually(lambda: next(iter(hub.list(kinds.CERTIFICATE_SIGNING_REQUEST)), None), "its request", SOON)
    assert csr["spec"]["username"] == "system:open-cluster-management:cluster1:agent"
    assert csr["spec"]["signerName"] == "example.com/fed"
    sign(fleet, csr)
    secret = eventually(lambda: spoke.get(kinds.SECRET, "default", "fed-example.com-fed-client-cert"), "its Secret", SOON)
    assert base64.b64decode(secret["data"]["cluster-name"]) == b"cluster1"
    addon = lambda: hub.get(kinds.MANAGED_CLUSTER_ADDON, "cluster1", "fed")  # noqa: E731
    eventually(lambda: condition(addon(), "ClusterCertificateRotated").get("status") == "True", "rotated", SOON)
    others = [c for c in addon()["status"]["conditions"] if c["type"] != "ClusterCertificateRotated"]
    hub.patch_status(kinds.MANAGED_CLUSTER_ADDON, "cluster1", "fed", conditions=others)  # as if another's write had come in between
    eventually(lambda: condition(addon(), "ClusterCertificateRotated").get("status") == "True", "it is said again", SOON)
    hub.label(kinds.MANAGED_CLUSTER, "cluster1", addon=None)
    eventually(lambda: addon() is None, "uninstalled", SOON)
    eventually(lambda: spoke.get(kinds.SECRET, "default", "fed-example.com-fed-client-cert") is None, "its Secret goes", SOON)


def sign(fleet: Standin, csr: Object) -> None:
    """Acts as the add-on's manager."""
    pending = x509.load_pem_x509_csr(base64.b64decode(csr["spec"]["request"]))
    issuer, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(pending.subject).issuer_name(issuer).public_key(pending.public_key()).serial_number(1)
    signed = builder.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(days=1))
    pem = signed.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    approved = [
        {"type": "Approved", "status": "True", "reason": "Test", "message": "", "lastUpdateTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    ]
    name, hub = csr["metadata"]["name"], fleet["hub"]
    hub.patch_subresource(kinds.CERTIFICATE_SIGNING_REQUEST, "", name, "approval", status={"conditions": approved})
    hub.patch_status(kinds.CERTIFICATE_SIGNING_REQUEST, "", name, certificate=base64.b64encode(pem).decode())


def test_works_are_deleted_with_their_cluster_and_the_namespace_stays(fleet: Standin) -> None:
    hub = fleet["hub"]
    hub.apply(work("last", cluster_object("v1", "ConfigMap", "last", "default")) | {"metadata": {"name": "last", "namespace": "cluster2"}})
    eventually(lambda: fleet["cluster2"].get(kinds.CONFIG_MAP, "default", "last"), "applied", SOON)
    hub.delete(kinds.MANAGED_CLUSTER, "", "cluster2")
    eventually(lambda: cluster(fleet, "cluster2") == {}, "the cluster is gone", SOON)
    place(fleet, "all", **TOLERANT)
    assert hub.get(kinds.MANIFEST_WORK, "cluster2", "last") is None
    assert fleet["cluster2"].get(kinds.CONFIG_MAP, "default", "last") is None
    assert hub.get(kinds.NAMESPACE, "", "cluster2")
    eventually(lambda: selected(fleet, "all") == ["cluster1"], "no placement has it", SOON)


def test_all_processes_still_run(fleet: Standin) -> None:
    assert sorted(fleet.alive()) == ["cluster1", "cluster1-agent", "cluster2", "cluster2-agent", "hub", "ocm"]
    for name in ("ocm", "cluster1-agent", "cluster2-agent"):
        assert "Traceback" not in fleet.log(name)
