"""`panal doctor --cluster`: the Pod that it makes from a collaborator's, and what it reads from the work's status."""

from __future__ import annotations

import json
from typing import Any

import pytest

import worlds
from panal.api import names
from panal.cli import probe
from panal.cli.probe import IMAGES, Outcome, feedback, judged, overdue
from panal.client.problem import Problem
from panal.kube.objects import Object
from panal.lifecycle.decide import decide

PASSED = json.dumps({"passed": ["data", "certificate"]})
ENDED = {f"{name}Ended": "Completed" for name in IMAGES}


def found(applied: str | None = "True", message: str = "", **values: str) -> Object:
    """A work whose status is as the cluster's agent writes it."""
    conditions = [{"type": "Applied", "status": applied, "message": "some are not applied"}] if applied else []
    manifest = {
        "conditions": [{"type": "Applied", "status": applied, "message": message}],
        "statusFeedback": {"values": [{"name": k, "fieldValue": {"type": "String", "string": v}} for k, v in values.items()]},
    }
    return {"metadata": {}, "status": {"conditions": conditions, "resourceStatus": {"manifests": [manifest]}}}


def outcome(obj: Object) -> Outcome | None:
    return judged(obj, feedback(obj))


@pytest.mark.parametrize(
    ("obj", "hop", "told"),
    [
        (found("False", "pods is forbidden"), "work", "the cluster does not accept the Pod: pods is forbidden"),
        (found(appWaiting="ErrImagePull", appWaitingMessage="no such image"), "image", "the image of the app is not pulled: no such image"),
        (found(probeWaiting="ImagePullBackOff"), "image", "the image of the pod tools is not pulled: ImagePullBackOff"),
        (found(gatewayWaiting="ErrImagePull", result=PASSED, probeEnded="Completed"), "image", "the image of the gateway is not pulled"),
        (
            found(gatewayWaiting="CreateContainerConfigError", gatewayWaitingMessage='secret "fl-collaborator-data" not found'),
            "configuration",
            'a container is not created: secret "fl-collaborator-data" not found',
        ),
        (found(phase="Failed"), "Pod", "the Pod ended without an answer"),
        (found(result="[" * 100_000, **ENDED), "Pod", "the probe's answer cannot be read"),
        (found(result="{", **ENDED), "Pod", "the probe's answer cannot be read: {"),
        (found(result=json.dumps({"passed": ["data"], "failed": "TCP", "message": "no answer"}), **ENDED), "TCP", "no answer"),
        (found(result=PASSED, **ENDED), "", ""),
    ],
)
def test_an_answer(obj: Object, hop: str, told: str) -> None:
    said = outcome(obj)
    assert said
    assert said.hop == hop
    assert told in said.message


@pytest.mark.parametrize(
    "obj",
    [
        found(None),
        found(),
        found(phase="Pending", probeWaiting="ContainerCreating"),
        found(phase="Running", result=PASSED, probeEnded="Completed"),
    ],
)
def test_no_answer_yet(obj: Object) -> None:
    assert outcome(obj) is None


@pytest.mark.parametrize(
    ("obj", "hop", "told"),
    [
        (found(None), "work", "the cluster has not fetched the work"),
        (found(unschedulable="0/1 nodes are available: 1 Insufficient memory"), "scheduling", "Insufficient memory"),
        (found(unschedulable='persistentvolumeclaim "data" not found'), "data claim", 'persistentvolumeclaim "data" not found'),
        (found(phase="Pending", **{f"{name}Waiting": "ContainerCreating" for name in IMAGES}), "volumes", "a volume is not mounted"),
        (found(result=PASSED, probeEnded="Completed", appWaiting="ContainerCreating"), "image", "the image of the app has not been pulled"),
        (found(phase="Running"), "Pod", "the Pod is Running"),
    ],
)
def test_no_answer_in_time(obj: Object, hop: str, told: str) -> None:
    said = overdue(obj, feedback(obj))
    assert said.hop == hop
    assert told in said.message


def collaborator(**changes: Any) -> Object:
    plan = decide(worlds.running(**changes), worlds.NOW)
    (found,) = (obj for obj in worlds.applied(plan, "ManifestWork") if obj["metadata"]["namespace"] == "cluster1")
    return found


def test_the_pod_is_like_the_collaborators_but_for_its_programs() -> None:
    like = collaborator()
    (stateful_set,) = (m for m in like["spec"]["workload"]["manifests"] if m["kind"] == "StatefulSet")
    template = stateful_set["spec"]["template"]
    made = probe.work(like)
    (pod,) = made["spec"]["workload"]["manifests"]
    containers = {c["name"]: c for c in pod["spec"]["containers"]}
    own, tools, gateway = template["spec"]["containers"][0], *template["spec"]["initContainers"]
    assert made["metadata"] == {"name": f"{like['metadata']['name']}-probe", "namespace": "cluster1"}  # not one of the run's works
    assert [containers[name]["image"] for name in IMAGES] == [tools["image"], own["image"], gateway["image"]]
    assert containers["app"]["command"] == containers["gateway"]["command"] == ["true"]
    for container in containers.values():
        assert container["securityContext"] == own["securityContext"]
    for name in ("serviceAccountName", "securityContext", "dnsPolicy", "dnsConfig"):
        assert pod["spec"][name] == template["spec"][name]
    assert pod["metadata"]["labels"][names.LABEL_RUN_UID] == template["metadata"]["labels"][names.LABEL_RUN_UID]  # of the NetworkPolicy


def test_only_the_probe_has_the_key_and_the_data() -> None:
    (pod,) = probe.work(collaborator())["spec"]["workload"]["manifests"]
    mounted = {c["name"]: [m["mountPath"] for m in c.get("volumeMounts", [])] for c in pod["spec"]["containers"]}
    assert mounted == {"probe": [names.GATEWAY_DIR, names.DATA_DIR], "app": [], "gateway": []}
    assert all(m["readOnly"] for c in pod["spec"]["containers"] for m in c.get("volumeMounts", []))
    (probing,) = (c for c in pod["spec"]["containers"] if c["name"] == "probe")
    assert probing["env"] == [{"name": "PANAL_DATA_DIR", "value": names.DATA_DIR}]


def test_what_is_missing_does_not_hold_up_the_pod() -> None:
    (pod,) = probe.work(collaborator())["spec"]["workload"]["manifests"]
    sources = next(v for v in pod["spec"]["volumes"] if v["name"] == "gateway")["projected"]["sources"]
    assert all((each.get("secret") or each["configMap"])["optional"] for each in sources)


def test_a_work_that_somebody_has_emptied_is_refused() -> None:
    like = collaborator()
    like["spec"]["workload"]["manifests"] = []
    with pytest.raises(Problem, match="no StatefulSet"):
        probe.work(like)


def test_of_a_bucket_the_endpoint_and_the_secret_are_tried() -> None:
    claim = "s3://digits?endpoint=https://minio.example.com&address=192.0.2.9"
    like = collaborator(clusters=worlds.clusters(worlds.cluster(1, claim=claim), worlds.cluster(2), worlds.cluster(3)), works={})
    (pod,) = probe.work(like)["spec"]["workload"]["manifests"]
    probing, app, gateway = pod["spec"]["containers"]
    assert probing["env"] == [{"name": "PANAL_DATA_ENDPOINT", "value": "https://minio.example.com"}]
    assert gateway["envFrom"] == [{"secretRef": {"name": "fl-collaborator-data"}}]
    assert "envFrom" not in probing | app
    assert pod["spec"]["hostAliases"] == [{"ip": "192.0.2.9", "hostnames": ["minio.example.com"]}]
