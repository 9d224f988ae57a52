"""A site lets nothing out but the training: user code that tries, on nodes that enforce NetworkPolicies, while its run goes on.

All that it tries is there to be reached: a Pod in the same namespace, of which the policies do not speak, reaches it.
"""

from __future__ import annotations

import json
import socketserver
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
from on_nodes import LISTENS, Network, bystander, pod_ip, pod_on
from panal.api.names import COLLABORATOR_NAMESPACE
from runs import Status, apply
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
def internet(engine: Containers) -> Iterator[str]:
    """Somebody far away who takes connections: this host, by its address on the bridge."""
    with socketserver.ThreadingTCPServer((f"{Bridge(engine.fleet.root).prefix}.1", 0), socketserver.BaseRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        yield f"tcp:{host}:{port}"
        server.shutdown()


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
        internet(engine) as far,
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
