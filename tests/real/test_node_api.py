"""Our node at a real API server, with the real controllers and scheduler: Jobs and StatefulSets run through it as through a kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from panal_local.node.drain import drain
from panal_local.node.forward import CHUNK
from part import command

pytestmark = pytest.mark.real
NODE = "local-node"
IMAGE = "test/python:1"


class Node:
    """The program, as the platform starts it."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder, self.images = cluster, folder / "node", folder / "images"
        base = 10 + os.getpid() % 200
        self.address = f"127.77.{base}.1"
        self.range = f"127.78.{base}.0/24"
        self.process = None

    def start(self):
        where = {"address": self.address, "pod_range": self.range, "folder": self.folder, "images": self.images}
        words = command("node", kubeconfig=self.cluster.kubeconfig, name=NODE, **where)
        with (self.images.parent / "node.log").open("a") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)

    def end(self, number=signal.SIGTERM):
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(10)
        return time.monotonic() - began

    def image(self, name, **fields):
        """An image of this very Python."""
        repository, _, tag = name.partition(":")
        root = self.images / repository / tag / "root"
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (root / "venv").symlink_to(sys.prefix)
        content = {"digest": "sha256:" + "0" * 64, "root": "root", "env": {}, "entrypoint": [], "cmd": [], "workingDir": "."}
        (root.parent / "image.json").write_text(json.dumps(content | fields))


@pytest.fixture(scope="module")
def node(hub_api, tmp_path_factory):
    options = (f"--kubeconfig={hub_api.kubeconfig}", f"--secure-port={hub_api.port['scheduler']}", "--bind-address=127.0.0.1")
    hub_api.start("kube-scheduler", *options, "--leader-elect=false")
    node = Node(hub_api, tmp_path_factory.mktemp("node"))
    node.image(IMAGE)
    node.start()
    until(lambda: "True" in hub_api.kubectl("get", "node", NODE, "-o", READY, check=False), 60)
    yield node
    node.end()
    assert asyncio.run(drain(node.folder, 1)) == []
    assert processes_of(node.folder) == []
    hub_api.kubectl("delete", "node", NODE)


@pytest.fixture
def namespace(hub_api):
    name = f"node-{uuid.uuid4().hex[:8]}"
    hub_api.namespaces(name)
    yield name
    hub_api.kubectl("delete", "namespace", name, "--wait=false")


READY = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'


def until(condition, seconds=40.0):
    """Wait for something that other processes bring about."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def processes_of(folder):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append(process.name)
    return [p for p in found if int(p) != os.getpid()]


def container(script, name="main", **fields):
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **fields}


def pod_spec(*containers, **fields):
    return {"containers": list(containers), "terminationGracePeriodSeconds": 2, **fields}


def make_pod(cluster, namespace, name, *containers, labels=None, **fields):
    about = {"name": name, "namespace": namespace, "labels": labels or {}}
    until(lambda: cluster.kubectl("-n", namespace, "get", "sa", "default", check=False))
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": pod_spec(*containers, **fields)})


def status(cluster, namespace, name):
    return json.loads(cluster.kubectl("-n", namespace, "get", "pod", name, "-o", "json"))["status"]


def container_status(cluster, namespace, name):
    return (status(cluster, namespace, name).get("containerStatuses") or [{}])[0]


def reached(cluster, namespace, name, phase):
    until(lambda: status(cluster, namespace, name)["phase"] == phase)
    return status(cluster, namespace, name)


def log_of(node, namespace, name, container="main"):
    for file in (node.folder / "pods").glob("*/pod.json"):
        about = json.loads(file.read_text())["pod"]["metadata"]
        if (about["namespace"], about["name"]) == (namespace, name):
            logs = sorted((file.parent / "containers" / container).glob("*/log"))
            return logs[-1].read_text() if logs else ""
    return ""


IN_CLUSTER = """
import asyncio
from panal.kube.client import Client
from panal.kube.kinds import CONFIG_MAP
async def main():
    async with Client.from_kubeconfig() as client:
        found = await client.get(CONFIG_MAP, client.namespace, "allowed")
        print("read", found["data"]["k"], "in", client.namespace)
asyncio.run(main())
"""


def test_a_job_with_init_container_sidecar_and_service_account(hub_api, node, namespace):
    """The kube client finds token, authority and address in the container, as the reporter's does."""
    rbac = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    meta = {"name": "reader", "namespace": namespace}
    script = "echo side; touch $SHARED/up; trap 'echo side ends; exit 0' TERM; while :; do sleep 0.05; done"
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}], "env": [{"name": "SHARED", "value": "/shared"}]}
    spec = pod_spec(
        container('cat $SHARED/first && python3 -c "$CODE" && echo "{}" > $PANAL_TERMINATION_LOG')
        | {"env": [*mounts["env"], {"name": "CODE", "value": IN_CLUSTER}], "volumeMounts": mounts["volumeMounts"]},
        initContainers=[
            container("test ! -e $SHARED/up; echo written > $SHARED/first", "first", **mounts),
            container(script, "side", restartPolicy="Always", **mounts),
        ],
        restartPolicy="Never",
        serviceAccountName="reader",
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    hub_api.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "reader"},
            "subjects": [subject],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "allowed", "namespace": namespace}, "data": {"k": "v"}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": namespace}, "spec": {"template": {"spec": spec}}},
    )
    hub_api.kubectl("-n", namespace, "wait", "--for=condition=complete", "job/j", "--timeout=60s")
    (pod,) = json.loads(hub_api.kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"]
    name, found = pod["metadata"]["name"], pod["status"]
    assert log_of(node, namespace, name) == f"written\nread v in {namespace}\n"
    assert "side ends" in log_of(node, namespace, name, "side")
    assert found["containerStatuses"][0]["state"]["terminated"]["message"] == "{}\n"
    assert [s["state"]["terminated"]["reason"] for s in found["initContainerStatuses"]] == ["Completed", "Completed"]


def test_a_stateful_set_its_config_map_and_the_pod_anew(hub_api, node, namespace):
    """What is changed in the ConfigMap is seen in the container within seconds; a deleted Pod comes again."""
    meta = {"name": "s", "namespace": namespace}
    script = "while :; do cat /conf/k 2>/dev/null || cat $CONF/k; echo; sleep 0.1; done"
    main = container(script, env=[{"name": "CONF", "value": "/conf"}], volumeMounts=[{"name": "c", "mountPath": "/conf"}])
    labels = {"app": "s"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(main, volumes=[{"name": "c", "configMap": {"name": "s"}}])}
    hub_api.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": "before"}},
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": meta,
            "spec": {"serviceName": "s", "replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
    )
    until(lambda: "before" in log_of(node, namespace, "s-0"))
    until(lambda: hub_api.kubectl("-n", namespace, "get", "statefulset", "s", "-o", "jsonpath={.status.readyReplicas}") == "1")
    hub_api.kubectl("-n", namespace, "patch", "configmap", "s", "-p", '{"data":{"k":"after"}}')
    until(lambda: "after" in log_of(node, namespace, "s-0"), 5)
    first = hub_api.kubectl("-n", namespace, "get", "pod", "s-0", "-o", "jsonpath={.metadata.uid}")
    hub_api.kubectl("-n", namespace, "delete", "pod", "s-0", "--wait=false")  # the next one is there too soon for kubectl to notice
    until(lambda: hub_api.kubectl("-n", namespace, "get", "pod", "s-0", "-o", "jsonpath={.metadata.uid}", check=False) not in ("", first))
    until(lambda: not (node.folder / "pods" / first).exists())
    until(lambda: "after" in log_of(node, namespace, "s-0"))


def same_process(pod_status):
    """What changes when a container is started anew."""
    return [(c["containerID"], c["restartCount"], c["state"]) for c in pod_status["containerStatuses"]]


def test_containers_outlive_the_node_and_their_true_end_is_told(hub_api, node, namespace):
    make_pod(hub_api, namespace, "stays", container("echo $$; exec sleep 1000"))
    waits = "while [ ! -e $F ]; do sleep 0.05; done; exit 3"
    mounts = [{"name": "go", "mountPath": "/go"}]
    ends = container(waits, env=[{"name": "F", "value": "/go/f"}], volumeMounts=mounts)
    make_pod(hub_api, namespace, "ends", ends, restartPolicy="Never", volumes=[{"name": "go", "emptyDir": {}}])
    before = reached(hub_api, namespace, "stays", "Running")
    reached(hub_api, namespace, "ends", "Running")
    node.end(signal.SIGKILL)
    (folder,) = (f.parent for f in (node.folder / "pods").glob("*/pod.json") if '"name": "ends"' in f.read_text())
    (folder / "volumes/go/f").touch()
    until(lambda: (folder / "containers/main/0/ended.json").exists())
    node.start()
    assert reached(hub_api, namespace, "ends", "Failed")["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    after = status(hub_api, namespace, "stays")
    assert same_process(after) == same_process(before)
    assert after["podIP"] == before["podIP"]
    node.end(signal.SIGKILL)
    hub_api.kubectl("-n", namespace, "delete", "pod", "stays", "--force", "--grace-period=0")
    node.start()
    until(lambda: not processes_of(node.folder / "pods" / "stays") and log_of(node, namespace, "stays") == "")


def test_the_node_ends_quickly_and_leaves_its_pods(hub_api, node, namespace):
    make_pod(hub_api, namespace, "p", container("exec sleep 1000"))
    until(lambda: container_status(hub_api, namespace, "p").get("ready"))
    before = status(hub_api, namespace, "p")
    seconds = node.end()
    node.start()
    assert seconds < 5
    time.sleep(1)
    until(lambda: status(hub_api, namespace, "p") == before)


def test_a_failing_container_backs_off_and_keeps_its_last_words(hub_api, node, namespace):
    make_pod(hub_api, namespace, "p", container("echo gone wrong; exit 2", terminationMessagePolicy="FallbackToLogsOnError"))
    until(lambda: container_status(hub_api, namespace, "p").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    found = container_status(hub_api, namespace, "p")
    assert found["restartCount"] == 1
    assert (found["lastState"]["terminated"]["exitCode"], found["lastState"]["terminated"]["reason"]) == (2, "Error")
    assert found["lastState"]["terminated"]["message"] == "gone wrong"
    assert status(hub_api, namespace, "p")["phase"] == "Running"


def test_an_unknown_image_says_what_to_do_and_starts_when_it_is_there(hub_api, node, namespace):
    make_pod(hub_api, namespace, "p", {"name": "main", "image": f"test/{namespace}:2"}, restartPolicy="Never")
    waiting = until(lambda: container_status(hub_api, namespace, "p").get("state", {}).get("waiting"))
    assert waiting["reason"] == "ErrImageNeverPull"
    assert f"panal image build FOLDER -t test/{namespace}:2" in waiting["message"]
    node.image(f"test/{namespace}:2", cmd=["echo", "here"])
    reached(hub_api, namespace, "p", "Succeeded")


def test_a_missing_config_map_is_waited_for(hub_api, node, namespace):
    reference = {"configMapKeyRef": {"name": "late", "key": "k"}}
    main = container("echo $K", env=[{"name": "K", "valueFrom": reference}])
    make_pod(hub_api, namespace, "p", main, restartPolicy="Never")
    waiting = until(lambda: container_status(hub_api, namespace, "p").get("state", {}).get("waiting"))
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "late" not found'}
    hub_api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": namespace}, "data": {"k": "now"}})
    reached(hub_api, namespace, "p", "Succeeded")
    assert log_of(node, namespace, "p") == "now\n"


def test_a_container_that_does_not_listen_is_killed_after_its_grace_period(hub_api, node, namespace):
    make_pod(hub_api, namespace, "p", container("trap '' TERM; echo up; while :; do sleep 0.05; done"))
    until(lambda: "up" in log_of(node, namespace, "p"))
    began = time.monotonic()
    hub_api.kubectl("-n", namespace, "delete", "pod", "p", "--timeout=30s")
    assert 1 < time.monotonic() - began < 10


def test_readiness_is_told_and_a_container_that_does_not_start_is_ended(hub_api, node, namespace):
    serve = "exec python3 -m http.server 8080 --bind $PANAL_LOOPBACK"
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    web = {"ports": [{"name": "web", "containerPort": 8080}]}
    make_pod(hub_api, namespace, "good", container(serve, **web, startupProbe=probe, readinessProbe=probe))
    hub_api.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/good", "--timeout=30s")
    make_pod(hub_api, namespace, "bad", container("sleep 1000", **web, startupProbe=probe | {"failureThreshold": 1}))
    until(lambda: container_status(hub_api, namespace, "bad").get("restartCount") == 1)
    assert not container_status(hub_api, namespace, "bad")["ready"]
    make_pod(hub_api, namespace, "more", container("sleep 1000", livenessProbe=probe))
    until(lambda: "livenessProbe is not supported by this node" in json.dumps(status(hub_api, namespace, "more")))


def test_claims_are_folders(hub_api, node, namespace, tmp_path):
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "", "hostPath": {"path": str(tmp_path)}}
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeName": namespace,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    hub_api.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": spec},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": namespace}, "spec": wanted},
    )
    main = container("echo kept > $D/file", env=[{"name": "D", "value": "/data"}], volumeMounts=[{"name": "d", "mountPath": "/data"}])
    mounted = {"name": "d", "persistentVolumeClaim": {"claimName": "c"}}
    make_pod(hub_api, namespace, "p", main, restartPolicy="Never", volumes=[mounted])
    reached(hub_api, namespace, "p", "Succeeded")
    assert (tmp_path / "file").read_text() == "kept\n"
    hub_api.kubectl("delete", "pv", namespace, "--wait=false")


SERVER = """
import os, socketserver
class Sink(socketserver.BaseRequestHandler):
    def handle(self):
        got = 0
        while data := self.request.recv(1 << 20):
            got += len(data)
        self.request.sendall(str(got).encode())
server = socketserver.ThreadingTCPServer((os.environ["PANAL_LOOPBACK"], 9000), Sink)
print("listens", flush=True)
server.serve_forever()
"""


async def test_a_node_port_leads_to_ready_pods_and_carries_a_model(hub_api, node, namespace):
    labels = {"app": "sink"}
    main = container('exec python3 -c "$CODE"', env=[{"name": "CODE", "value": SERVER}], ports=[{"name": "in", "containerPort": 9000}])
    make_pod(hub_api, namespace, "p", main, labels=labels)
    ports = [{"port": 80, "targetPort": "in"}]
    meta = {"name": "sink", "namespace": namespace}
    hub_api.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"type": "NodePort", "selector": labels, "ports": ports}}
    )
    hub_api.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/p", "--timeout=30s")
    port = int(hub_api.kubectl("-n", namespace, "get", "svc", "sink", "-o", "jsonpath={.spec.ports[0].nodePort}"))
    until(lambda: "listens" in log_of(node, namespace, "p"))
    await asyncio.sleep(1)
    reader, writer = await asyncio.open_connection(node.address, port)
    began, block = time.monotonic(), bytes(CHUNK)
    for _ in range(200):
        writer.write(block)
        await writer.drain()
    writer.write_eof()
    assert int(await reader.read()) == 200 * CHUNK
    writer.close()
    assert time.monotonic() - began < 10


async def test_logs_are_served_to_who_has_the_token(hub_api, node, namespace):
    make_pod(hub_api, namespace, "p", container("for i in 1 2 3; do echo $i; done; sleep 1; echo last"), restartPolicy="Never")
    until(lambda: "3" in log_of(node, namespace, "p"))
    port = hub_api.kubectl("get", "node", NODE, "-o", "jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}")
    url = f"http://{node.address}:{port}/containerLogs/{namespace}/p/main"
    token = {"Authorization": f"Bearer {(node.folder / 'token').read_text()}"}
    async with aiohttp.ClientSession(headers=token) as http:
        async with http.get(url, params={"follow": "true", "tailLines": "2"}) as answer:
            assert (await answer.text()) == "2\n3\nlast\n"
        async with http.get(url, params={"tailLines": "1"}) as answer:
            assert (await answer.text()) == "last\n"
        async with http.get(url, params={"previous": "true"}) as answer:
            assert (answer.status, "previous terminated container" in await answer.text()) == (400, True)
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        assert answer.status == 401


async def test_a_log_can_be_read_until_its_pod_is_gone_and_after(hub_api, node, namespace):
    make_pod(hub_api, namespace, "p", container("echo all; exec sleep 60"))
    until(lambda: log_of(node, namespace, "p") == "all\n")
    port = hub_api.kubectl("get", "node", NODE, "-o", "jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}")
    url = f"http://{node.address}:{port}/containerLogs/{namespace}/p/main"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {(node.folder / 'token').read_text()}"}) as http:
        removal = asyncio.create_task(asyncio.to_thread(hub_api.kubectl, "-n", namespace, "delete", "pod", "p"))
        answers, last = Counter(), False
        while not last:
            last = removal.done()
            async with http.get(url) as answer:
                answers[answer.status, await answer.text()] += 1
    assert list(answers) == [(200, "all\n")], answers
