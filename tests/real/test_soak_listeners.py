"""docs/how-to/reach-the-aggregator.md on real nodes: a run to Completed through each type of listener, with the page's YAML (`make soak`).

The page's addresses 203.0.113.0/24 are those of the hub's machine. NetworkPolicies let a collaborator reach nothing but the address in the
status, and each address has one program behind it (`tests/support/hub_network.py`): so a run whose rounds count has passed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bridge
import pages
from containers import Containers
from gateway_api import DEMANDED, crd_files, gateway, has_address
from hub_network import CONTROLLER, HTTPS, Balancer, Ingress, Router, addresses, connected, named, playing
from on_nodes import Network
from panal.api import names
from panal.api.types import ListenerType
from panal.kube import kinds
from routers import SHIFT, Contour
from runs import AHEAD, Run, Status, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.soak]

PAGE = Path(__file__).parents[2] / "docs/how-to/reach-the-aggregator.md"
NS, NAME, SITES = "team", "digits", ["cluster1", "cluster2"]  # as the page calls them
NODE, BALANCER, ROUTER, INGRESS, GATEWAY = (f"203.0.113.{number}" for number in range(9, 14))
GATEWAYS = "gateways"
CLASS = "haproxy"
PORT = 8443
CERTIFIED = names.server_name(NAME, NS)
PATIENCE = 600


@pytest.fixture(scope="module", autouse=True)
def hub(engine: Containers) -> Iterator[None]:
    """With the kinds that the listeners need, and with the network of the page."""
    cluster = engine.fleet.hub
    files = [word for path in crd_files() for word in ("-f", str(path))]
    cluster.kubectl("apply", "--server-side", *files)
    cluster.apply(*DEMANDED)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    cluster.namespaces(NS, GATEWAYS)
    with addresses(engine.fleet, NODE, ROUTER, INGRESS, GATEWAY), named(engine.fleet, Router.canonical, ROUTER):
        yield
    cluster.kubectl("delete", "namespace", NS, GATEWAYS, "--timeout=120s")
    cluster.kubectl("delete", *files, "--timeout=60s")
    cluster.kubectl("delete", "crd", *(crd["metadata"]["name"] for crd in DEMANDED), "--timeout=60s")


@pytest.fixture(autouse=True)
def no_run_is_left(engine: Containers) -> Iterator[None]:
    """The runs have one name."""
    yield
    engine.fleet.hub.kubectl("delete", "fl", "--all", "-n", NS, "--timeout=120s")


# --- the page -------------------------------------------------------------------------------------------------------
def resource(kind: str) -> dict[str, Any]:
    (found,) = (each for each in pages.resources(PAGE) if each.get("kind") == kind)
    return found


def listeners(of: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Those of a block of the page; the Ingress gets the class that this hub has."""
    (found,) = (each["listeners"] for each in pages.resources(PAGE) if of(each.get("listeners", [])))
    return [one | ({"ingressClassName": CLASS} if "ingressClassName" in one else {}) for one in found]


def said(engine: Containers, folder: Path, word: str) -> str:
    """What the page's only command with this word prints."""
    (command,) = (block for block in pages.commands(PAGE, "") if word in block)
    return pages.say(command, engine.fleet.hub.kubeconfig, folder)


# --- ways to the hub ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Way:
    """What the status says of a listener. `address` is None where it is the Service's own; `ip` is given where `address` is a name."""

    address: str | None
    port: int
    host: str = CERTIFIED
    ip: str = ""

    @property
    def dialled(self) -> str:
        return self.ip or self.address or ""


def of_the_service(engine: Containers) -> str:
    return str((engine.hub.get(kinds.SERVICE, NS, names.aggregator(NAME)) or {})["spec"]["clusterIP"])


def balancer(engine: Containers, folder: Path) -> AbstractContextManager[None]:
    return playing(Balancer(engine.hub, NS, BALANCER))


def network(engine: Containers, folder: Path) -> AbstractContextManager[None]:
    return connected(engine.fleet)


@contextmanager
def router(engine: Containers, folder: Path) -> Iterator[None]:
    found = Router(folder, engine.hub, Network.of_machine(engine.fleet, "hub"), ROUTER)
    try:
        with playing(found):
            yield
    finally:
        found.stop()


@contextmanager
def ingress(engine: Containers, folder: Path) -> Iterator[None]:
    spec = {"controller": CONTROLLER}
    engine.fleet.hub.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": CLASS}, "spec": spec})
    found = Ingress(folder, engine.hub, Network.of_machine(engine.fleet, "hub"), INGRESS)
    try:
        with playing(found):
            yield
    finally:
        found.stop()
        engine.hub.delete(kinds.INGRESS_CLASS, "", CLASS)


@contextmanager
def contour(engine: Containers, folder: Path) -> Iterator[None]:
    """With the page's Gateway. A load balancer leads from the Gateway's port to Envoy's."""
    hub, wanted = engine.fleet.hub, resource("Gateway")
    port = wanted["spec"]["listeners"][0]["port"]
    of_class, _, service = gateway(GATEWAYS, port)
    hub.apply(of_class, wanted, service)
    has_address(hub, GATEWAYS, GATEWAY)
    led = f"PREROUTING -i eth0 -d {GATEWAY} -p tcp --dport {port} -j REDIRECT --to-ports {port + SHIFT}"
    found = Contour(folder, hub.kubeconfig, (GATEWAYS, wanted["metadata"]["name"]), Network.of_machine(engine.fleet, "hub"))
    engine.fleet.machine("hub").shell(f"iptables -t nat -I {led}")
    try:
        found.start()
        yield
    finally:
        found.stop()
        engine.fleet.machine("hub").shell(f"iptables -t nat -D {led}")
        hub.kubectl("delete", "gateway,service", "--all", "-n", GATEWAYS, "--timeout=60s")
        hub.kubectl("delete", "gatewayclass", of_class["metadata"]["name"])
        print((folder / "contour.log").read_text()[-3000:])


Led = Callable[[Containers, Path], AbstractContextManager[None]]
WAYS: dict[ListenerType, tuple[Led, Way]] = {
    ListenerType.NODE_PORT: (lambda *_: nullcontext(), Way(NODE, 30080)),
    ListenerType.LOAD_BALANCER: (balancer, Way(BALANCER, PORT)),
    ListenerType.CLUSTER_IP: (network, Way(None, PORT)),
    ListenerType.ROUTE: (router, Way(Router.canonical, HTTPS, "digits.fl.example.com", ROUTER)),
    ListenerType.GATEWAY: (contour, Way(GATEWAY, HTTPS, "digits.team.fl.example.com")),
    ListenerType.INGRESS: (ingress, Way(INGRESS, HTTPS, "digits.fl.example.com")),
}


# --- runs -----------------------------------------------------------------------------------------------------------
def start(engine: Containers, wanted: list[dict[str, Any]]) -> Run:
    server = {"rounds": AHEAD + 1, "listeners": wanted, "quorumTimeoutSeconds": 300}
    return apply(engine, NS, NAME, clusters=SITES, server=server, client={"env": [{"name": "STEPS_SECONDS", "value": "1"}]})


def until_ready(run: Run) -> Status:
    """All of its listeners."""
    return run.until(lambda s: all(one.get("ready") for one in s.get("listeners") or [{}]), "the listeners are ready", PATIENCE)


def peers(engine: Containers, run: Run, cluster: str) -> set[tuple[str, int]]:
    """Whom the collaborator's Pod is connected with."""
    (pod,) = run.collaborators(cluster)
    lines = bridge.run(*Network.of_pod(engine.fleet, cluster, pod).enter, "ss", "-Htn", "state", "established").splitlines()
    found = (line.split()[3].rpartition(":") for line in lines)
    return {(host, int(port)) for host, _, port in found if not host.startswith("127.")}


def until_connected(engine: Containers, run: Run, *wanted: tuple[str, int]) -> None:
    """Each cluster with its own, and with nobody else."""
    found = lambda: [peers(engine, run, cluster) for cluster in SITES]  # noqa: E731
    eventually(lambda: found() == [{one} for one in wanted], lambda: f"{found()} are {wanted}", 60)


def complete(run: Run) -> None:
    """No round is lost; then the hub has nothing that leads to the run."""
    run.until_no_round_is_lost(SITES, PATIENCE)
    run.until_cleaned(PATIENCE)
    kinds_of = (kinds.SERVICE, kinds.ROUTE, kinds.INGRESS, kinds.TLS_ROUTES[-1])
    eventually(lambda: not run.of_the_run(*kinds_of), lambda: f"nothing leads to the run: {run.of_the_run(*kinds_of)}", PATIENCE)


@pytest.mark.parametrize("kind", ListenerType)
def test_a_run_is_complete(engine: Containers, kind: ListenerType, tmp_path: Path) -> None:
    led, way = WAYS[kind]
    with led(engine, tmp_path):
        run = start(engine, listeners(lambda found: [one["type"] for one in found] == [kind] and found[0]["name"] == "main"))
        with run.kept_going():
            (status,) = until_ready(run)["listeners"]
            address, dialled = (way.address, way.dialled) if way.address else (of_the_service(engine),) * 2
            assert (status["address"], status["port"], status["host"]) == (address, way.port, way.host)
            assert said(engine, tmp_path, "status.listeners") == f"main {kind} {address}:{way.port} {way.host} true \n"
            run.until_round(1, PATIENCE)
            until_connected(engine, run, *[(dialled, way.port)] * 2)
        complete(run)


def test_a_site_chooses_one_of_several_listeners(engine: Containers, tmp_path: Path) -> None:
    hub = engine.fleet.hub
    hub.apply(resource("AddOnDeploymentConfig"))
    said(engine, tmp_path, "managedclusteraddon")
    try:
        with router(engine, tmp_path):
            run = start(engine, listeners(lambda found: len(found) > 1))
            with run.kept_going():
                public, internal = until_ready(run)["listeners"]
                host = f"{names.aggregator(NAME)}-{NS}.apps.test"
                assert (public["address"], public["port"], public["host"]) == (Router.canonical, HTTPS, host)
                assert internal["address"] == hub.ip
                run.until_round(1, PATIENCE)
                until_connected(engine, run, (ROUTER, HTTPS), (hub.ip, internal["port"]))
            complete(run)
    finally:
        hub.kubectl("patch", "managedclusteraddon", names.ADDON, "-n", "cluster2", "--type=merge", "-p", '{"spec": {"configs": null}}')
        hub.kubectl("delete", "addondeploymentconfig", "factory", "-n", "cluster2")
