"""What a collaborator's Pod asks of a site, and the Pods that are not recognized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import site_pods
from panal.api import names
from panal.site.request import Asked, NotRecognizedError, asked

Pod = dict[str, Any]


def test_a_collaborator_asks_for_what_its_pod_has() -> None:
    found = asked(site_pods.pod())
    assert found == Asked(
        pod="digits-0123456789-0",
        uid="pod-1",
        namespace="mnist",
        name="digits",
        run="7",
        framework="flower",
        purpose="research",
        requester="",
        image=site_pods.IMAGE,
        panal_images=("registry.example.com/panal/pod-tools:0.1.0", "registry.example.com/panal/gateway:0.1.0"),
        app_hash=site_pods.APP_HASH,
        data="pvc://digits/train",
        secrets=(),
        minimum_examples=20,
    )
    assert found.record()["run"] == "mnist/digits"


def test_another_pod_of_the_same_run_asks_for_the_same() -> None:
    first, second = site_pods.pod(), site_pods.pod()
    second["metadata"] |= {"uid": "pod-2", "name": "digits-0123456789-1"}
    assert asked(first).id == asked(second).id


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
        lambda pod: main(pod)["env"][0].update(value="c" * 64),
        lambda pod: main(pod)["env"][2].update(value="19"),
        lambda pod: main(pod)["volumeMounts"][-1].update(subPath="held-out"),
        lambda pod: volume(pod, "data")["persistentVolumeClaim"].update(claimName="others"),
        lambda pod: init(pod, 0).update(image="registry.example.com/panal/pod-tools:0.2.0"),
        lambda pod: main(pod)["env"].append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}),
        lambda pod: main(pod).update(envFrom=[{"secretRef": {"name": names.DATA_ACCESS}}]),
        lambda pod: pod["metadata"]["annotations"].update(site_pods.pod(purpose="marketing")["metadata"]["annotations"]),
    ],
)
def test_whatever_matters_makes_another_request(change: Callable[[Pod], None]) -> None:
    pod = site_pods.pod()
    change(pod)
    assert asked(pod).id != asked(site_pods.pod()).id


def test_data_in_a_bucket_and_on_the_node() -> None:
    pod = site_pods.pod()
    pod["spec"]["volumes"] = [each for each in pod["spec"]["volumes"] if each["name"] != "data"]
    main(pod)["volumeMounts"].pop()
    assert asked(pod).data == ""
    main(pod)["env"][1]["value"] = "s3://scans/train"
    assert asked(pod).data == "s3://scans/train"
    pod = site_pods.pod()
    pod["spec"]["volumes"][-1] = {"name": "data", "hostPath": {"path": "/data/scans", "type": "Directory"}}
    del main(pod)["volumeMounts"][-1]["subPath"]
    assert asked(pod).data == "/data/scans"


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
    "arguments of the tools": ("spec.initContainers[tools].command", lambda pod: init(pod, 0).update(args=["-c"])),
    "tools that do not ask the site": (
        "spec.initContainers[tools].env.PANAL_SITE_POLICY",
        lambda pod: init(pod, 0)["env"].pop(),
    ),
    "a variable of the tools": (
        "spec.initContainers[tools].env.PYTHONPATH",
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
        "spec.containers[supernode].volumeMounts[gateway]",
        lambda pod: main(pod)["volumeMounts"].append({"name": "gateway", "mountPath": "/keys"}),
    ),
    "the site's token in the app": (
        "spec.containers[supernode].volumeMounts[site]",
        lambda pod: main(pod)["volumeMounts"].append({"name": "site", "mountPath": "/token"}),
    ),
    "writable data": (
        "spec.containers[supernode].volumeMounts[data].readOnly",
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
        "spec.volumes[gateway].projected",
        lambda pod: volume(pod, "gateway")["projected"]["sources"].append({"secret": {"name": "others"}}),
    ),
    "a token beside the key": (
        "spec.volumes[gateway].projected",
        lambda pod: volume(pod, "gateway")["projected"]["sources"].append({"serviceAccountToken": {"path": "token"}}),
    ),
    "another ConfigMap for the site": (
        "spec.volumes[site].projected",
        lambda pod: volume(pod, "site")["projected"]["sources"][0]["configMap"].update(name="from-the-hub"),
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


def test_what_the_hub_says_is_hostile_text() -> None:
    found = asked(site_pods.pod(name="\x1b[31mdigits\n", purpose=["research"], namespace="n" * 5000))
    assert found.name.isprintable()
    assert found.purpose == ""
    assert len(found.namespace) <= 200
