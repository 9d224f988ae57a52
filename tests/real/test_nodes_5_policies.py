"""A site lets nothing out but the training: user code that tries, on nodes that enforce NetworkPolicies, while its run goes on.

All that it tries is there to be reached: a Pod in the same namespace, of which the policies do not speak, reaches it.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

import pytest

from bridge import Bridge
from containers import Containers
from machine import API_IP, DNS_IP
from on_nodes import LISTENS, Network, bystander, internet, pod_ip, pod_on
from panal.api.names import COLLABORATOR_NAMESPACE
from panal.kube import kinds
from runs import Run, Status, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

SITE, OTHER_SITE = "cluster3", "cluster4"
ASK = "import json; from steps import tries; print(json.dumps(tries.reached()))"


@dataclass(frozen=True)
class Tried:
    """`inside` and `beside`: what user code of the run reached, and what a Pod beside it did, by name. `entered`: who got into the
    collaborator's Pod, where user code had opened a port."""

    status: Status
    inside: dict[str, float]
    beside: dict[str, float]
    entered: dict[str, bool]


@contextmanager
def opened(network: Network) -> Iterator[None]:
    """A port in a Pod, as user code may open one: on all of its addresses."""
    process = subprocess.Popen([*network.enter, sys.executable, "-m", "http.server", str(LISTENS)], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def tried(engine: Containers) -> Iterator[Tried]:
    fleet, spoke = engine.fleet, engine.spoke(SITE)
    with (
        internet(engine.fleet) as far,
        pod_on(spoke, bystander("beside", COLLABORATOR_NAMESPACE)) as beside,
        pod_on(spoke, bystander("asks", COLLABORATOR_NAMESPACE)),
    ):
        node, hub = fleet[SITE].ip, fleet.hub.ip
        tries = {
            "name": "name:hub.test",
            "dns": f"dns:{DNS_IP}",
            "dns-of-the-node": f"dns:{node}",
            "internet": far,
            "own-api": f"tcp:{API_IP}:443",
            "own-api-by-the-node": f"tcp:{node}:6443",
            "own-kubelet": f"tcp:{node}:10250",
            "pod-beside": f"tcp:{beside}:{LISTENS}",
            "hub-api": f"tcp:{hub}:6443",
            "hub-kubelet": f"tcp:{hub}:10250",
            "other-site": f"tcp:{fleet[OTHER_SITE].ip}:6443",
        }
        env = {"STEPS_TRIES": json.dumps(tries), "STEPS_SECONDS": "4"}
        client = {"env": [{"name": k, "value": v} for k, v in env.items()]}
        run = apply(engine, "runs", "curious", clusters=[SITE], client=client)
        run.until_running()
        entered = enter(engine, run.collaborators(SITE)[0], beside)
        asked = ("exec", "asks", "-n", COLLABORATOR_NAMESPACE, "--", "env", f"STEPS_TRIES={env['STEPS_TRIES']}", "python3", "-c", ASK)
        answer = json.loads(fleet[SITE].kubectl(*asked))
        status = run.until_ended("Completed")
        reached = {k: v for k, v in status["collaborators"][0]["metrics"].items() if k.startswith("reached-")}
        assert set(reached) == set(answer) == {f"reached-{name}" for name in tries}
        yield Tried(status, reached, answer, entered)
        run.delete()


def enter(engine: Containers, pod: str, beside: str) -> dict[str, bool]:
    """Who gets a connection: the machine itself, and the Pod `asks` with this Pod and with the one beside it."""
    network, machine, asks = (
        Network.of_pod(engine.fleet, SITE, pod),
        Network.of_machine(engine.fleet, SITE),
        Network.of_pod(engine.fleet, SITE, "asks"),
    )
    address = pod_ip(engine.spoke(SITE), COLLABORATOR_NAMESPACE, pod)
    with opened(network):
        eventually(lambda: machine.connects(address, LISTENS), "user code listens", 20)
        return {"beside": asks.connects(beside, LISTENS), "collaborator": asks.connects(address, LISTENS)}


def test_user_code_reaches_nothing(tried: Tried) -> None:
    assert tried.inside == dict.fromkeys(tried.inside, 0.0)


def test_all_of_it_could_be_reached(tried: Tried) -> None:
    assert tried.beside == dict.fromkeys(tried.beside, 1.0)


def test_nobody_at_the_site_reaches_the_collaborator(tried: Tried) -> None:
    assert tried.entered == {"beside": True, "collaborator": False}


def test_the_training_goes_on_all_the_same(tried: Tried) -> None:
    assert tried.status["rounds"]["summary"] == "2/2"
    assert tried.status["rounds"]["failures"] == 0


CLAIM = "bucket.example.com"


class Bucket(http.server.BaseHTTPRequestHandler):
    """Has one object, for everybody."""

    def do_GET(self) -> None:
        found = self.path == "/digits/train/number"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b"3" if found else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def bucket(engine: Containers) -> Iterator[Run]:
    """A run at a site whose data is in a bucket, at a port of this host. Its app also tries another port there."""
    host = f"{Bridge(engine.fleet.root).prefix}.1"
    spoke = engine.spoke(SITE)
    with http.server.ThreadingHTTPServer((host, 0), Bucket) as server, internet(engine.fleet) as elsewhere:
        Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        value = f"s3://digits/train?endpoint=http://minio.test:{port}&address={host}"
        metadata = {"name": CLAIM}
        spoke.apply({"apiVersion": kinds.CLUSTER_CLAIM.api_version, "kind": "ClusterClaim", "metadata": metadata, "spec": {"value": value}})
        secret = {"name": "fl-collaborator-data", "namespace": COLLABORATOR_NAMESPACE}
        spoke.apply({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"AWS_ACCESS_KEY_ID": "the-sites"}})
        tries = {"bucket": f"tcp:minio.test:{port}", "elsewhere": elsewhere}
        env = [{"name": "STEPS_TRIES", "value": json.dumps(tries)}, {"name": "STEPS_SECONDS", "value": "4"}]
        eventually(lambda: announced(engine), "the hub knows the data", 60)
        run = apply(engine, "runs", "bucket", clusters=[SITE], client={"env": env, "dataClaim": CLAIM})
        run.until_running()
        yield run
        run.delete()
        server.shutdown()
    spoke.delete(kinds.CLUSTER_CLAIM, "", CLAIM)
    spoke.delete(kinds.SECRET, COLLABORATOR_NAMESPACE, "fl-collaborator-data")


def announced(engine: Containers) -> bool:
    found = engine.hub.get(kinds.MANAGED_CLUSTER, "", SITE)
    return any(claim["name"] == CLAIM for claim in ((found or {}).get("status") or {}).get("clusterClaims") or ())


def test_data_in_a_bucket_is_reached_and_nothing_beside_it(bucket: Run, engine: Containers) -> None:
    (pod,) = bucket.collaborators(SITE)
    environment = engine.fleet[SITE].kubectl("exec", pod, "-n", COLLABORATOR_NAMESPACE, "-c", "supernode", "--", "env").splitlines()
    assert {"PANAL_DATA_PATH=s3://digits/train", "AWS_ACCESS_KEY_ID=the-sites"} <= set(environment)
    assert any(line.startswith("AWS_ENDPOINT_URL_S3=http://minio.test:") for line in environment)
    status = bucket.until_ended("Completed")
    metrics = status["collaborators"][0]["metrics"]
    assert (metrics["loss"], metrics["reached-bucket"], metrics["reached-elsewhere"]) == (3.0, 1.0, 0.0)
