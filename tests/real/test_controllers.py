"""The local platform's control loops at a real API server whose own controllers are off, and at the platform's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api import Api, api
from cluster import Cluster
from embedded import Embedded
from panal.kube import kinds
from panal.kube.client import Propagation
from panal.kube.objects import Object
from part import command
from waiting import eventually

pytestmark = pytest.mark.real

NS = "loops"
CONTAINER = {"name": "c", "image": "x:1", "command": ["true"]}


@pytest.fixture(scope="module", params=["bare_api", "embedded_api"])
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    bare_api: Cluster | Embedded = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("volumes")
    words = command("controllers", kubeconfig=bare_api.kubeconfig, volumes=folder)
    with (folder / "log").open("w") as log:
        loops = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        asked = api(bare_api.kubeconfig)
        asked.make_namespace(NS)
        asked.apply(node())
        ready = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}}
        asked.patch_status(kinds.NODE, "", "only", **ready)
        asked.patch(kinds.NODE, "", "only", spec={"taints": None})  # not-ready, which a controller that is off here would take away
        eventually(lambda: asked.get(kinds.SERVICE_ACCOUNT, NS, "default"), "the namespace has its account", 30)
        yield asked
    finally:
        loops.terminate()
        assert loops.wait(10) in (0, -15)
        print((folder / "log").read_text()[-5000:])


def node() -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "only", "labels": {"disk": "fast"}}}


def job(name: str, **spec: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]} | spec.pop("pod", {})}
    metadata = {"name": name, "namespace": NS}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"backoffLimit": 0, "template": template} | spec}


def test_a_gated_pod_is_left_alone_until_its_gate_is_removed(hub: Api) -> None:
    spec = {"schedulingGates": [{"name": "fl.panal/site-policy"}], "containers": [CONTAINER]}
    hub.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gated", "namespace": NS}, "spec": spec})
    hub.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "free", "namespace": NS}, "spec": {"containers": [CONTAINER]}})
    eventually(lambda: hub.get(kinds.POD, NS, "free")["spec"].get("nodeName"), "a Pod without gates has its node", 30)
    pod = hub.get(kinds.POD, NS, "gated")
    assert not pod["spec"].get("nodeName")
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    hub.patch(kinds.POD, NS, "gated", spec={"schedulingGates": None})
    eventually(lambda: hub.get(kinds.POD, NS, "gated")["spec"].get("nodeName") == "only", "it has its node", 30)


def pods_of(hub: Api, name: str) -> list[Object]:
    return hub.list(kinds.POD, NS, f"job-name={name}")


def end(hub: Api, pod: Object, phase: str) -> None:
    hub.patch_status(kinds.POD, NS, pod["metadata"]["name"], phase=phase)


def conditions(obj: Object | None) -> dict[str, str]:
    return {c["type"]: c["reason"] for c in ((obj or {}).get("status") or {}).get("conditions", []) if c["status"] == "True"}


def test_a_job_gets_a_pod_on_a_node_and_completes_with_it(hub: Api) -> None:
    hub.apply(job("good"))
    pod = eventually(lambda: next((p for p in pods_of(hub, "good") if p["spec"].get("nodeName") == "only"), None), "its Pod has a node", 20)
    hub.patch_status(kinds.POD, NS, pod["metadata"]["name"], phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    eventually(lambda: hub.get(kinds.JOB, NS, "good")["status"].get("ready") == 1, "the Job counts it", 20)
    end(hub, pod, "Succeeded")
    done = eventually(lambda: "Complete" in conditions(hub.get(kinds.JOB, NS, "good")) and hub.get(kinds.JOB, NS, "good"), "Complete", 20)
    assert conditions(done) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert done["status"]["succeeded"] == 1
    assert len(pods_of(hub, "good")) == 1


def test_a_job_whose_pod_fails_fails_with_its_reason(hub: Api) -> None:
    hub.apply(job("bad"))
    pod = eventually(lambda: next(iter(pods_of(hub, "bad")), None), "its Pod", 20)
    end(hub, pod, "Failed")
    eventually(lambda: conditions(hub.get(kinds.JOB, NS, "bad")).get("Failed") == "BackoffLimitExceeded", "Failed", 20)


def test_a_job_that_asks_for_more_than_one_pod_after_the_other_is_told_so(hub: Api) -> None:
    hub.apply(job("many", completions=2))
    eventually(lambda: conditions(hub.get(kinds.JOB, NS, "many")).get("Failed") == "NotSupported", "Failed", 20)
    assert pods_of(hub, "many") == []


def test_a_job_is_stopped_at_its_deadline(hub: Api) -> None:
    hub.apply(job("late", activeDeadlineSeconds=1))
    eventually(lambda: conditions(hub.get(kinds.JOB, NS, "late")).get("FailureTarget") == "DeadlineExceeded", "FailureTarget", 20)


def test_a_pod_that_no_node_suits_is_told_why(hub: Api) -> None:
    hub.apply(job("picky", pod={"nodeSelector": {"disk": "slow"}}))
    hub.apply(job("bare", pod={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "nowhere"}}]}))

    def said(name: str) -> str:
        found = [c for p in pods_of(hub, name) for c in p["status"].get("conditions", []) if c["type"] == "PodScheduled"]
        return found[0]["message"] if found else ""

    eventually(lambda: "0/1 nodes are available: 1 node(s) didn't match" in said("picky"), "why", 20)
    eventually(lambda: 'persistentvolumeclaim "nowhere" not found' in said("bare"), "why", 20)


def test_a_stateful_set_keeps_its_names_and_follows_its_template(hub: Api) -> None:
    spec = {
        "serviceName": "s",
        "replicas": 1,
        "selector": {"matchLabels": {"app": "s"}},
        "template": {"metadata": {"labels": {"app": "s"}}, "spec": {"containers": [CONTAINER]}},
    }
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s", "namespace": NS}, "spec": spec}
    hub.apply(body)
    first = eventually(lambda: hub.get(kinds.POD, NS, "s-0"), "s-0", 20)
    hub.delete(kinds.POD, NS, "s-0", grace=0)
    eventually(lambda: uid(hub.get(kinds.POD, NS, "s-0")) not in ("", uid(first)), "another s-0", 20)
    hub.patch(kinds.STATEFUL_SET, NS, "s", spec={"template": {"metadata": {"labels": {"app": "s", "new": "yes"}}}})
    eventually(lambda: (hub.get(kinds.POD, NS, "s-0") or first)["metadata"].get("deletionTimestamp"), "the old one is told to go", 20)
    hub.delete(kinds.POD, NS, "s-0", grace=0)
    eventually(lambda: "new" in ((hub.get(kinds.POD, NS, "s-0") or first)["metadata"]["labels"]), "the new one", 20)


def uid(obj: Object | None) -> str:
    return obj["metadata"]["uid"] if obj else ""


def test_a_claim_gets_a_folder_of_its_own_and_a_site_owners_volume_stays(hub: Api) -> None:
    def claim(name: str, **spec: Any) -> Object:
        rest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}} | spec
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NS}, "spec": rest}

    own = {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "mine", "hostPath": {"path": "/nowhere"}}
    hub.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "own"}, "spec": own})
    hub.apply(claim("made", storageClassName="local"))
    hub.apply(claim("found", storageClassName="mine"))
    bound = lambda name: (hub.get(kinds.PERSISTENT_VOLUME_CLAIM, NS, name) or {}).get("status", {}).get("phase") == "Bound"  # noqa: E731
    eventually(lambda: bound("made") and bound("found"), "both are bound", 20)
    assert hub.get(kinds.PERSISTENT_VOLUME_CLAIM, NS, "found")["spec"]["volumeName"] == "own"
    made = hub.get(kinds.PERSISTENT_VOLUME_CLAIM, NS, "made")["spec"]["volumeName"]
    folder = hub.get(kinds.PERSISTENT_VOLUME, "", made)["spec"]["hostPath"]["path"]
    assert Path(folder).name == made
    for name in ("made", "found"):
        hub.patch(kinds.PERSISTENT_VOLUME_CLAIM, NS, name, metadata={"finalizers": None})  # protected by the API server's admission
        hub.delete(kinds.PERSISTENT_VOLUME_CLAIM, NS, name)
    eventually(
        lambda: (hub.get(kinds.PERSISTENT_VOLUME, "", "own") or {})["status"]["phase"] == "Released", "the owner's volume is free", 20
    )

    def gone() -> bool:
        left = hub.get(kinds.PERSISTENT_VOLUME, "", made)
        if left and left["metadata"].get("deletionTimestamp"):
            hub.patch(kinds.PERSISTENT_VOLUME, "", made, metadata={"finalizers": None})
        return left is None

    eventually(gone, "the folder's volume is gone", 20)


def test_what_is_owned_goes_with_its_owner_and_a_namespace_with_all_that_is_in_it(hub: Api) -> None:
    hub.make_namespace("short")
    owner = hub.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": "short"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    for name, refs in (("owned", [reference]), ("free", [])):
        metadata = {"name": name, "namespace": "short", "ownerReferences": refs}
        hub.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    hub.delete(kinds.CONFIG_MAP, "short", "owner")
    eventually(lambda: hub.get(kinds.CONFIG_MAP, "short", "owned") is None, "what it owned is gone", 20)
    assert hub.get(kinds.CONFIG_MAP, "short", "free")
    hub.delete(kinds.NAMESPACE, "", "short")
    eventually(lambda: hub.get(kinds.NAMESPACE, "", "short") is None, "the namespace is gone", 30)


@pytest.mark.parametrize(("propagation", "stays"), [("Foreground", False), ("Orphan", True)])
def test_an_owner_waits_for_what_it_owns_if_that_is_asked_for(hub: Api, propagation: Propagation, stays: bool) -> None:
    def config_map(name: str, **more: Any) -> Object:
        return hub.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NS} | more})

    owner = config_map(f"owner-{propagation.lower()}")
    name = owner["metadata"]["name"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": owner["metadata"]["uid"], "blockOwnerDeletion": True}
    config_map(f"{name}-owned", ownerReferences=[reference])
    hub.delete(kinds.CONFIG_MAP, NS, name, propagation=propagation)
    eventually(lambda: hub.get(kinds.CONFIG_MAP, NS, name) is None, "the owner is gone", 20)
    left = hub.get(kinds.CONFIG_MAP, NS, f"{name}-owned")
    assert (left is not None) == stays
    assert not (left or {"metadata": {}})["metadata"].get("ownerReferences")
