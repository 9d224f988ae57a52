"""The Jupyter of examples/mnist/notebooks on a real node, with its real image, beside the model of a run (`make soak`)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import clusters
from cluster import PROJECT, Cluster
from containers import Containers
from machine import API_IP, DNS_IP
from on_nodes import LISTENS, Network, bystander, internet, pod_on
from panal.kube import kinds
from processes import assets
from runs import Run, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.soak]

NS = "mnist"
MANIFEST = PROJECT / "examples/mnist/notebooks/jupyter.yaml"
ARCHIVE = PROJECT / ".cache/images/jupyter/mnist-jupyter.tar"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
# Which of the addresses take a connection.
REACH = """
import json, socket, sys
def reached(address):
    try:
        socket.create_connection(tuple(address), 3).close()
    except OSError:
        return False
    return True
print(json.dumps({name: reached(address) for name, address in json.loads(sys.argv[1]).items()}))
"""


@dataclass(frozen=True)
class Jupyter:
    hub: Cluster
    run: Run
    token: str

    def inside(self, *command: str) -> str:
        return self.hub.kubectl("-n", NS, "exec", "deployment/jupyter", "--", *command)


@pytest.fixture(scope="module")
def run(engine: Containers) -> Iterator[Run]:
    """Its model is in the volume claim that the manifest mounts."""
    hub = engine.fleet.hub
    hub.kubectl("delete", "namespace", NS, "--ignore-not-found", "--timeout=120s")
    hub.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS, "labels": RESTRICTED}})
    found = apply(engine, NS, "digits", clusters=["cluster1"])
    found.until_ended("Completed")
    yield found
    found.delete()
    hub.kubectl("delete", "namespace", NS, "--timeout=120s")


@pytest.fixture(scope="module")
def jupyter(engine: Containers, run: Run) -> Iterator[Jupyter]:
    """As the how-to starts it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    make = ["make", "--silent", str(ARCHIVE.relative_to(PROJECT))]
    subprocess.run(make, cwd=PROJECT, env=env, stdin=subprocess.DEVNULL, check=True)
    hub = engine.fleet.hub
    clusters.load(engine.fleet.root, [ARCHIVE], only="hub")
    token = secrets.token_hex(24)
    hub.kubectl("-n", NS, "create", "secret", "generic", "jupyter", f"--from-literal=token={token}")
    hub.kubectl("apply", "-f", str(MANIFEST))
    try:
        hub.kubectl("-n", NS, "rollout", "status", "deployment/jupyter", "--timeout=120s")
        yield Jupyter(hub, run, token)
    finally:
        print(hub.kubectl("-n", NS, "logs", "deployment/jupyter", "--tail=40", check=False).replace(token, "TOKEN"))
        hub.kubectl("delete", "-f", str(MANIFEST))
        hub.kubectl("-n", NS, "delete", "secret", "jupyter")


@contextmanager
def forwarded(jupyter: Jupyter) -> Iterator[str]:
    """The address at which `kubectl port-forward` leads to it."""
    command = [str(assets() / "kubectl"), f"--kubeconfig={jupyter.hub.kubeconfig}", "-n", NS, "port-forward", "deployment/jupyter", ":8888"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.match(r"Forwarding from (127\.0\.0\.1:\d+) -> 8888", process.stdout.readline())
        assert found
        yield f"http://{found[1]}"
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


def got(url: str, token: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def test_it_reads_the_model_and_cannot_change_it(jupyter: Jupyter) -> None:
    path = jupyter.run.status()["model"]["uri"].removeprefix("pvc://models/")
    content = jupyter.inside("sha256sum", f"/models/{path}").split()[0]
    assert f"sha256:{content}" == jupyter.run.status()["model"]["digest"]
    for command in (("touch", "/models/x"), ("rm", f"/models/{path}"), ("sh", "-c", f": > /models/{path}")):
        with pytest.raises(RuntimeError, match="Read-only file system"):
            jupyter.inside(*command)
    assert hashlib.sha256(jupyter.run.engine.read(NS, "models", path)).hexdigest() == content


def test_it_has_no_credentials(jupyter: Jupyter) -> None:
    with pytest.raises(RuntimeError, match="No such file"):
        jupyter.inside("ls", "/var/run/secrets/kubernetes.io")


def test_it_answers_to_the_token_by_a_forwarded_port_alone(jupyter: Jupyter, engine: Containers) -> None:
    with forwarded(jupyter) as address:
        assert got(f"{address}/api/contents")[0] == 403
        assert got(f"{address}/api/contents", "x" * 48)[0] == 403
        status, found = got(f"{address}/api/contents", jupyter.token)
        assert (status, [each["name"] for each in found["content"]]) == (200, ["validate.ipynb"])
        assert [kernel["name"] for kernel in got(f"{address}/api/kernelspecs", jupyter.token)[1]["kernelspecs"].values()] == ["python3"]
    (pod,) = (each for each in engine.hub.list(kinds.POD, NS) if each["metadata"]["name"].startswith("jupyter-"))
    assert not Network.of_machine(engine.fleet, "hub").connects(pod["status"]["podIP"], 8888)


def test_code_in_a_notebook_reaches_nothing(jupyter: Jupyter, engine: Containers) -> None:
    """All of it is there to be reached: a Pod beside it, of which the policy does not speak, reaches it."""
    beside = bystander("beside", NS)
    with internet(engine.fleet) as far, pod_on(engine.hub, beside) as address:
        _, host, port = far.split(":")
        hub = engine.fleet.hub.ip
        tries = {
            "internet": [host, int(port)],
            "api": [API_IP, 443],
            "api-by-the-node": [hub, 6443],
            "kubelet": [hub, 10250],
            "dns": [DNS_IP, 53],
            "beside": [address, LISTENS],
            "site": [engine.fleet["cluster1"].ip, 6443],
        }
        command = ("python3", "-c", REACH, json.dumps(tries))
        from_beside = json.loads(jupyter.hub.kubectl("-n", NS, "exec", "beside", "--", *command))
        assert from_beside == dict.fromkeys(tries, True)
        reached = eventually(lambda: json.loads(jupyter.inside(*command)), "an answer", 60)
        assert reached == dict.fromkeys(tries, False)
