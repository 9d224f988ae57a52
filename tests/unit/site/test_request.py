"""What a collaborator's Pod asks of a site, and the Pods that are not recognized."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import site_pods
from panal.api import names
from panal.site.request import Asked, NotRecognizedError, asked, images, trimmed

Pod = dict[str, Any]
SAID = {"namespace": "ns", "name": "digits", "uid": "7", "framework": "flower"}


def test_a_collaborator_asks_for_what_its_pod_has() -> None:
    found = asked(site_pods.pod())
    assert found == Asked(
        pod="digits-0",
        uid="pod-1",
        namespace="ns",
        name="digits",
        run="11111111-2222-3333-4444-555555555555",
        framework="flower",
        purpose="research",
        requester="",
        image=site_pods.IMAGE,
        panal_images=("panal/pod-tools:1", "panal/gateway:1"),
        program=(),
        app_hash=site_pods.APP_HASH,
        data="pvc://digits/train",
        secrets=(),
        variables=(),
        rounds=3,
        minimum_clusters=2,
        minimum_examples=20,
        privacy="",
        aggregator="10.0.0.1:30123",
    )
    assert found.record()["run"] == "ns/digits"


PROGRAM = {"server": {"command": ["a"]}, "client": {"image": site_pods.IMAGE, "command": ["python3", "client.py"]}}


@pytest.mark.parametrize("framework", ["flower", "openfl", "flare", "other"])
@pytest.mark.parametrize(
    ("announced", "data"),
    [
        ("pvc://digits/train", "pvc://digits/train"),
        ("pvc://digits", "pvc://digits"),
        ("/data/scans", "/data/scans"),
        ("s3://scans/train?endpoint=https://192.0.2.9:9000", "s3://scans/train"),
        ("s3://scans/train?endpoint=https://s3.example.com&address=192.0.2.9&region=eu", "s3://scans/train"),
        (None, ""),
    ],
)
def test_each_collaborator_that_the_hub_makes_is_recognized(framework: str, announced: str | None, data: str) -> None:
    found = asked(site_pods.pod(framework=framework, data=announced, **(PROGRAM if framework == "other" else {})))
    assert (found.framework, found.data, found.secrets) == (framework, data, ())
    assert found.program == (("python3", "client.py") if framework == "other" else ())


def test_what_the_author_of_a_run_sets_is_part_of_the_request() -> None:
    client = {
        "image": site_pods.IMAGE,
        "env": [{"name": "EPOCHS", "value": "3"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}],
        "resources": {"limits": {"cpu": "2"}},
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "pull"}],
    }
    found = asked(site_pods.pod(client=client))
    assert found.secrets == ("keys",)
    assert dict(found.variables) == {"EPOCHS": "3", "KEY": '{"secretKeyRef": {"key": "a", "name": "keys"}}'}


def test_the_protection_of_updates_is_part_of_the_request() -> None:
    private = {"differentialPrivacy": {"clippingNorm": 1, "noiseMultiplier": 1.5}}
    found = asked(site_pods.pod(privacy=private))
    assert (found.noise_multiplier, asked(site_pods.pod()).noise_multiplier) == (1.5, 0.0)
    assert found.id != asked(site_pods.pod()).id


@pytest.mark.parametrize(
    ("privacy", "masked"),
    [
        ('{"secureAggregation": {"threshold": null}}', True),
        ('{"secureAggregation": null}', False),
        ('{"secureAggregation": true}', False),
        ('["secureAggregation"]', False),
        ("{", False),
        ("", False),
    ],
)
def test_secure_aggregation_is_part_of_the_request(privacy: str, masked: bool) -> None:
    found = replace(asked(site_pods.pod()), privacy=privacy)
    assert (found.aggregates_securely, found.noise_multiplier) == (masked, 0.0)


def test_another_pod_of_the_same_run_asks_for_the_same() -> None:
    first, second = site_pods.pod(), site_pods.pod()
    second["metadata"] |= {"uid": "pod-2", "name": "digits-1"}
    assert asked(first).id == asked(second).id


def variable(container: Pod, name: str) -> Pod:
    found: Pod = next(each for each in container["env"] if each["name"] == name)
    return found


def main(pod: Pod) -> Pod:
    return pod["spec"]["containers"][0]


def init(pod: Pod, number: int) -> Pod:
    return pod["spec"]["initContainers"][number]


def volume(pod: Pod, name: str) -> Pod:
    return next(each for each in pod["spec"]["volumes"] if each["name"] == name)


@pytest.mark.parametrize(
    "change",
    [
        lambda pod: main(pod).update(image="registry.example.com/app:2"),
        lambda pod: variable(main(pod), "PANAL_APP_HASH").update(value="c" * 64),
        lambda pod: variable(main(pod), "PANAL_MINIMUM_EXAMPLES").update(value="19"),
        lambda pod: main(pod)["volumeMounts"][-1].update(subPath="held-out"),
        lambda pod: volume(pod, "data")["persistentVolumeClaim"].update(claimName="others"),
        lambda pod: init(pod, 0).update(image="panal/pod-tools:2"),
        lambda pod: main(pod)["env"].append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}),
        lambda pod: main(pod)["env"].append({"name": "EPOCHS", "value": "3"}),
        lambda pod: pod["metadata"]["annotations"].update(site_pods.pod(said={"purpose": "marketing"})["metadata"]["annotations"]),
        lambda pod: pod["metadata"]["annotations"].update(site_pods.pod(said={"uid": "another"})["metadata"]["annotations"]),
    ],
)
def test_whatever_matters_makes_another_request(change: Callable[[Pod], None]) -> None:
    pod = site_pods.pod()
    change(pod)
    assert asked(pod).id != asked(site_pods.pod()).id


REJECTED: dict[str, tuple[str, Callable[[Pod], object]]] = {
    "host network": ("spec.hostNetwork", lambda pod: pod["spec"].update(hostNetwork=True)),
    "host processes": ("spec.hostPID", lambda pod: pod["spec"].update(hostPID=True)),
    "shared processes": ("spec.shareProcessNamespace", lambda pod: pod["spec"].update(shareProcessNamespace=True)),
    "an unknown field": ("spec.fromTheFuture", lambda pod: pod["spec"].update(fromTheFuture={"a": 1})),
    "another account": ("spec.serviceAccountName", lambda pod: pod["spec"].update(serviceAccountName="default")),
    "a token": ("spec.automountServiceAccountToken", lambda pod: pod["spec"].pop("automountServiceAccountToken")),
    "another container": ("spec.containers", lambda pod: pod["spec"]["containers"].append(main(pod) | {"name": "more"})),
    "another init container": ("spec.initContainers", lambda pod: pod["spec"]["initContainers"].insert(0, main(pod))),
    "an ephemeral container": ("spec.ephemeralContainers", lambda pod: pod["spec"].update(ephemeralContainers=[{"name": "debug"}])),
    "another program of the tools": ("spec.initContainers[tools].command", lambda pod: init(pod, 0).update(command=["sh"])),
    "arguments of the tools": ("spec.initContainers[tools].args", lambda pod: init(pod, 0).update(args=["-c"])),
    "tools that do not ask the site": (
        "spec.initContainers[tools].env",
        lambda pod: variable(init(pod, 0), "PANAL_SITE_POLICY").update(value=""),
    ),
    "tools that show no bodies": (
        "spec.initContainers[tools].env",
        lambda pod: variable(init(pod, 0), "PANAL_SITE_BODIES").update(value=""),
    ),
    "a variable of the tools": (
        "spec.initContainers[tools].env",
        lambda pod: init(pod, 0)["env"].append({"name": "PYTHONPATH", "value": "/panal/work"}),
    ),
    "another configuration of the gateway": (
        "spec.initContainers[gateway].args",
        lambda pod: init(pod, 1)["args"].__setitem__(-1, "/panal/gateway/bootstrap.json"),
    ),
    "a further option of the gateway": (
        "spec.initContainers[gateway].args",
        lambda pod: init(pod, 1)["args"].extend(["--config-yaml", "{}"]),
    ),
    "the data in the gateway": (
        "spec.initContainers[gateway].volumeMounts",
        lambda pod: init(pod, 1)["volumeMounts"].append({"name": "data", "mountPath": "/data"}),
    ),
    "a gateway without the site": ("spec.initContainers[gateway].volumeMounts", lambda pod: init(pod, 1)["volumeMounts"].pop()),
    "a probe": ("spec.initContainers[gateway].livenessProbe", lambda pod: init(pod, 1).update(livenessProbe={"exec": {"command": ["sh"]}})),
    "a hook": ("spec.containers[supernode].lifecycle", lambda pod: main(pod).update(lifecycle={"preStop": {"exec": {"command": ["sh"]}}})),
    "privileges": ("spec.containers[supernode].securityContext", lambda pod: main(pod).update(securityContext={"privileged": True})),
    "the site's key in the app": (
        "spec.containers[supernode].volumeMounts",
        lambda pod: main(pod)["volumeMounts"].append({"name": "gateway", "mountPath": "/keys"}),
    ),
    "the site's token in the app": (
        "spec.containers[supernode].volumeMounts",
        lambda pod: main(pod)["volumeMounts"].append({"name": "site", "mountPath": "/token"}),
    ),
    "writable data": (
        "spec.containers[supernode].volumeMounts",
        lambda pod: main(pod)["volumeMounts"][-1].update(readOnly=False),
    ),
    "a writable claim": ("spec.volumes[data]", lambda pod: volume(pod, "data")["persistentVolumeClaim"].pop("readOnly")),
    "a second volume with data": (
        "spec.volumes[more]",
        lambda pod: pod["spec"]["volumes"].append({"name": "more", "persistentVolumeClaim": {"claimName": "others", "readOnly": True}}),
    ),
    "data in the place of scratch": (
        "spec.volumes[tmp]",
        lambda pod: volume(pod, "tmp").update(persistentVolumeClaim={"claimName": "others"}),
    ),
    "another Secret beside the key": (
        "spec.volumes[gateway]",
        lambda pod: volume(pod, "gateway")["projected"]["sources"].append({"secret": {"name": "others"}}),
    ),
    "a token beside the key": (
        "spec.volumes[gateway]",
        lambda pod: volume(pod, "gateway")["projected"]["sources"].append({"serviceAccountToken": {"path": "token"}}),
    ),
    "another ConfigMap for the site": (
        "spec.volumes[site]",
        lambda pod: volume(pod, "site")["projected"]["sources"][0]["configMap"].update(name="from-the-hub"),
    ),
    "another program": ("spec.containers[supernode].command", lambda pod: main(pod).update(command=["python3", "-c", "pass"])),
    "a further word of the program": ("spec.containers[supernode].command", lambda pod: main(pod)["command"].append("--insecure")),
    "arguments": ("spec.containers[supernode].args", lambda pod: main(pod).update(args=["x"])),
    "another folder": ("spec.containers[supernode].workingDir", lambda pod: main(pod).update(workingDir="/tmp")),
    "another library": (
        "spec.containers[supernode].env[LD_PRELOAD]",
        lambda pod: main(pod)["env"].append({"name": "LD_PRELOAD", "value": "/app/a.so"}),
    ),
    "another module": (
        "spec.containers[supernode].env[PYTHONPATH]",
        lambda pod: main(pod)["env"].append({"name": "PYTHONPATH", "value": "/app/a"}),
    ),
    "a variable of panal": (
        "spec.containers[supernode].env[PANAL_HOOK]",
        lambda pod: main(pod)["env"].append({"name": "PANAL_HOOK", "value": "none"}),
    ),
    "texts that the owner does not share": (
        "spec.containers[supernode].env[PANAL_SHARE_ERRORS]",
        lambda pod: (
            variable(main(pod), "PANAL_SHARE_ERRORS").pop("valueFrom"),
            variable(main(pod), "PANAL_SHARE_ERRORS").update(value="true"),
        ),
    ),
    "a variable twice": (
        "spec.containers[supernode].env",
        lambda pod: main(pod)["env"].append({"name": "PANAL_APP_HASH", "value": "c" * 64}),
    ),
    "data elsewhere": (
        "spec.containers[supernode].env[PANAL_DATA_PATH]",
        lambda pod: variable(main(pod), "PANAL_DATA_PATH").update(value="s3://scans/secret"),
    ),
    "variables of a Secret": (
        "spec.containers[supernode].envFrom",
        lambda pod: main(pod).update(envFrom=[{"secretRef": {"name": names.DATA_ACCESS}}]),
    ),
    "the data a second time": (
        "spec.containers[supernode].volumeMounts",
        lambda pod: main(pod)["volumeMounts"].append({"name": "data", "mountPath": "/whole", "readOnly": True}),
    ),
    "a folder of the data from a variable": (
        "spec.containers[supernode].volumeMounts",
        lambda pod: main(pod)["volumeMounts"][-1].update(subPathExpr="$(X)"),
    ),
    "the gateway's configuration, writable": (
        "spec.containers[supernode].volumeMounts",
        lambda pod: next(each for each in main(pod)["volumeMounts"] if each["name"] == "pod").pop("readOnly"),
    ),
    "tools over the image's Python": (
        "spec.containers[supernode].volumeMounts",
        lambda pod: main(pod)["volumeMounts"][0].update(mountPath="/usr/local/lib/python3.11"),
    ),
    "a message from a file": (
        "spec.containers[supernode].terminationMessagePath",
        lambda pod: main(pod).update(terminationMessagePath="/tmp/x"),
    ),
    "messages from the log": (
        "spec.containers[supernode].terminationMessagePolicy",
        lambda pod: main(pod).update(terminationMessagePolicy="FallbackToLogsOnError"),
    ),
    "a file of the hub beside the key": (
        "spec.volumes[gateway]",
        lambda pod: volume(pod, "gateway")["projected"]["sources"].append(
            {"configMap": {"name": "hub", "items": [{"key": "b", "path": "$(PANAL_POD_DIR)/gateway.json"}]}}
        ),
    ),
    "a gateway without its folder": ("spec.initContainers[gateway].env", lambda pod: init(pod, 1)["env"].pop(1)),
    "root": ("spec.securityContext", lambda pod: pod["spec"]["securityContext"].update(runAsUser=0)),
    "another group": ("spec.securityContext", lambda pod: pod["spec"]["securityContext"].update(supplementalGroups=[0])),
    "a long end": ("spec.terminationGracePeriodSeconds", lambda pod: pod["spec"].update(terminationGracePeriodSeconds=86400)),
    "the cluster's names": ("spec.dnsPolicy", lambda pod: pod["spec"].update(dnsPolicy="ClusterFirst")),
    "names of its own": ("spec.hostAliases", lambda pod: pod["spec"].update(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["a"]}])),
    "another scheduler": ("spec.schedulerName", lambda pod: pod["spec"].update(schedulerName="mine")),
    "another framework in words": (
        f"metadata.annotations[{names.ANNOTATION_REQUEST}].framework",
        lambda pod: pod["metadata"]["annotations"].update({names.ANNOTATION_REQUEST: json.dumps(SAID | {"framework": "other"})}),
    ),
    "no name": (
        f"metadata.annotations[{names.ANNOTATION_REQUEST}].name",
        lambda pod: pod["metadata"]["annotations"].update({names.ANNOTATION_REQUEST: json.dumps(SAID | {"name": ""})}),
    ),
    "a purpose that a terminal obeys": (
        f"metadata.annotations[{names.ANNOTATION_REQUEST}].purpose",
        lambda pod: pod["metadata"]["annotations"].update({names.ANNOTATION_REQUEST: json.dumps(SAID | {"purpose": "\x1b[31m"})}),
    ),
    "a long purpose": (
        f"metadata.annotations[{names.ANNOTATION_REQUEST}].purpose",
        lambda pod: pod["metadata"]["annotations"].update({names.ANNOTATION_REQUEST: json.dumps(SAID | {"purpose": "x" * 201})}),
    ),
    "no annotation": (f"metadata.annotations[{names.ANNOTATION_REQUEST}]", lambda pod: pod["metadata"].update(annotations=None)),
    "a deep annotation": (
        f"metadata.annotations[{names.ANNOTATION_REQUEST}]",
        lambda pod: pod["metadata"]["annotations"].update({names.ANNOTATION_REQUEST: "[" * 4000}),
    ),
    "an annotation that is no JSON": (
        f"metadata.annotations[{names.ANNOTATION_REQUEST}]",
        lambda pod: pod["metadata"]["annotations"].update({names.ANNOTATION_REQUEST: "{"}),
    ),
}


@pytest.mark.parametrize(("field", "change"), REJECTED.values(), ids=REJECTED)
def test_a_pod_with_anything_else_is_not_recognized(field: str, change: Callable[[Pod], object]) -> None:
    pod = site_pods.pod()
    change(pod)
    with pytest.raises(NotRecognizedError) as error:
        asked(pod)
    assert str(error.value).startswith(f"{field} ")


@pytest.mark.parametrize("value", ["x" * (32 << 10), "\0" * (6 << 10)])
def test_a_pod_that_asks_more_than_the_ledger_has_room_for_is_not_recognized(value: str) -> None:
    pod = site_pods.pod()
    pod["spec"]["containers"][0]["env"].append({"name": "SETTING", "value": value})
    with pytest.raises(NotRecognizedError, match="more than 32 KiB"):
        asked(pod)


RUNS = {"name": "supernode", "imageID": "app@sha256:1", "state": {"running": {}}, "restartCount": 0}


def test_the_cache_keeps_what_is_read_of_a_pod() -> None:
    pod = site_pods.pod()
    condition = {"type": names.SITE_GATE, "status": "False", "reason": "DataNotAllowed"}
    whole = {**pod, "status": {"conditions": [condition, {"type": "Ready"}], "podIP": "192.0.2.1", "containerStatuses": [RUNS]}}
    whole["metadata"] = {**pod["metadata"], "labels": {"a": "b"}, "managedFields": [1], "resourceVersion": "7"}
    whole["metadata"]["annotations"] = {**pod["metadata"]["annotations"], "other": "x" * 100_000}
    found = trimmed(whole)
    assert asked(found) == asked(whole)
    assert found["status"] == {"conditions": [condition], "containerStatuses": [{"name": "supernode", "imageID": "app@sha256:1"}]}
    assert found["metadata"].keys() == {"name", "namespace", "uid", "resourceVersion", "annotations"}
    assert len(json.dumps(found)) < len(json.dumps(pod)) + 300


def test_the_images_are_known_when_each_container_has_one() -> None:
    pod = site_pods.pod()
    inits = [{"name": name, "imageID": f"{name}@sha256:2"} for name in ("tools", "gateway")]
    for status in ({}, {"containerStatuses": [RUNS]}, {"containerStatuses": [RUNS | {"imageID": ""}], "initContainerStatuses": inits}):
        assert images(trimmed(pod | {"status": status})) == {}
    found = images(trimmed(pod | {"status": {"containerStatuses": [RUNS], "initContainerStatuses": inits}}))
    assert found == {"gateway": "gateway@sha256:2", "supernode": "app@sha256:1", "tools": "tools@sha256:2"}
    many = trimmed(pod | {"status": {"containerStatuses": [RUNS | {"imageID": "x" * 9999}] * 99}})["status"]["containerStatuses"]
    assert (len(many), len(many[0]["imageID"])) == (4, 500)


@pytest.mark.parametrize("where", ["annotation", "variable"])
def test_of_what_is_too_large_for_a_collaborator_the_cache_keeps_little(where: str) -> None:
    pod = site_pods.pod()
    if where == "annotation":
        pod["metadata"]["annotations"][names.ANNOTATION_REQUEST] = json.dumps(SAID | {"more": "x" * 200_000})
    else:
        pod["spec"]["containers"][0]["env"].append({"name": "SETTING", "value": "x" * 200_000})
    found = trimmed(pod)
    assert found["spec"]["schedulingGates"] == pod["spec"]["schedulingGates"]
    assert len(json.dumps(found)) < 20_000
    with pytest.raises(NotRecognizedError):
        asked(found)
