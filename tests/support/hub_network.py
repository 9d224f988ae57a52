"""What leads from managed clusters to a Service of the hub, at the addresses of the how-to pages, on a fleet with nodes.

The network of the pages, 203.0.113.0/24, is the hub's machine. Each player does what a controller of the hub does that panal does not
bring: it follows the hub's objects, leads connections to the Pods, and writes the status of the objects as the controller would.

    Balancer   a load balancer such as MetalLB: its address belongs to a node, whose kube-proxy does the rest
    Router     OpenShift's router: HAProxy, for Routes
    Ingress    HAProxy as an Ingress controller, for Ingresses with its annotation for passthrough
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from api import Api
from bridge import Bridge
from fleet import Fleet
from machine import SERVICES
from on_nodes import Network
from panal.kube import kinds
from panal.kube.errors import NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.kube.times import now_utc, to_time
from routers import HAPROXY, haproxy
from waiting import eventually

PAGES = "203.0.113.0/24"
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
HTTPS = 443
CONTROLLER, PASSTHROUGH = "haproxy.org/ingress-controller", "haproxy.org/ssl-passthrough"


# --- the network ----------------------------------------------------------------------------------------------------
@contextmanager
def addresses(fleet: Fleet, *of_hub: str) -> Iterator[None]:
    """Clusters find the network of the pages at the hub's machine, which has these addresses."""
    for spoke in fleet.spokes:
        fleet.enter(spoke.name, "ip", "route", "replace", PAGES, "via", fleet.hub.ip)
    for address in of_hub:
        fleet.enter("hub", "ip", "address", "replace", f"{address}/32", "dev", "eth0")
    try:
        yield
    finally:
        for address in of_hub:
            fleet.enter("hub", "ip", "address", "delete", f"{address}/32", "dev", "eth0")
        for spoke in fleet.spokes:
            fleet.enter(spoke.name, "ip", "route", "delete", PAGES)


@contextmanager
def connected(fleet: Fleet) -> Iterator[None]:
    """The hub's Service network is routed to the clusters, as a network that connects clusters does it."""
    for spoke in fleet.spokes:
        fleet.enter(spoke.name, "ip", "route", "replace", SERVICES, "via", fleet.hub.ip)
    try:
        yield
    finally:
        for spoke in fleet.spokes:
            fleet.enter(spoke.name, "ip", "route", "replace", SERVICES, "dev", "eth0")


@contextmanager
def named(fleet: Fleet, name: str, address: str) -> Iterator[None]:
    """The DNS of the clusters knows the name, which ends in `.test`; it reads its file every 5 s."""
    hosts = Bridge(fleet.root).hosts
    before = hosts.read_text()
    hosts.write_text(f"{before}{address} {name}\n")
    try:
        yield
    finally:
        hosts.write_text(before)


# --- players --------------------------------------------------------------------------------------------------------
class Player(Protocol):
    def step(self) -> None:
        """Does what there is to do now."""
        ...


@contextmanager
def playing(player: Player) -> Iterator[None]:
    """Twice a second, until the end of the block, which raises what the player has raised."""
    over = threading.Event()

    def play() -> None:
        while not over.wait(0.5):
            with suppress(NotFound):  # what has gone meanwhile
                player.step()

    with ThreadPoolExecutor(1) as pool:
        played = pool.submit(play)
        try:
            yield
        finally:
            over.set()
        played.result(60)


@dataclass(frozen=True)
class Balancer:
    """For the Services of a namespace that have the type LoadBalancer."""

    hub: Api
    namespace: str
    address: str

    def step(self) -> None:
        for service in self.hub.list(kinds.SERVICE, self.namespace):
            if service["spec"]["type"] == "LoadBalancer":
                publish(self.hub, kinds.SERVICE, service, {"ingress": [{"ip": self.address, "ipMode": "VIP"}]})


def publish(hub: Api, kind: Kind, obj: Object, balancer: Object) -> None:
    """Writes the status of a load balancer, unless the object has it."""
    found = (obj.get("status") or {}).get("loadBalancer") or {}
    if found.get("ingress") != balancer["ingress"]:
        hub.patch_status(kind, obj["metadata"]["namespace"], obj["metadata"]["name"], loadBalancer=balancer)


@dataclass(frozen=True)
class Backend:
    """`servers`: the addresses of the Pods, with their ports."""

    name: str
    host: str
    servers: tuple[str, ...]


class Passthrough:
    """HAProxy on the hub's machine, which passes TLS through by the name in the handshake. What subclasses find on the hub is its
    configuration; a changed one is for new connections, as with OpenShift's router and with HAProxy's Ingress controller."""

    def __init__(self, folder: Path, hub: Api, network: Network, address: str) -> None:
        if HAPROXY is None:
            pytest.skip("no haproxy: apt-get install --no-install-recommends haproxy")
        self.folder, self.hub, self.network, self.address = folder, hub, network, address
        self.processes: list[subprocess.Popen[bytes]] = []
        self.backends: tuple[Backend, ...] | None = None

    def found(self) -> Iterable[tuple[Object, str, Object]]:
        """The objects that lead to a Service by a name: each with the name, and with the Service's name and port."""
        raise NotImplementedError

    def admit(self, obj: Object) -> None:
        """Writes its status."""
        raise NotImplementedError

    def step(self) -> None:
        found = list(self.found())
        backends = tuple(Backend(_name(obj), host, self._servers(obj, **service)) for obj, host, service in found)
        if backends != self.backends:
            self._load(backends)
            self.backends = backends
        for obj, _, _ in found:
            self.admit(obj)

    def _servers(self, obj: Object, name: str, port: object) -> tuple[str, ...]:
        """The Pods that are ready. `port`: the number or the name of the Service's port."""
        namespace = obj["metadata"]["namespace"]
        service = self.hub.get(kinds.SERVICE, namespace, name) or {"spec": {"ports": []}}
        wanted = [p.get("name", "") for p in service["spec"]["ports"] if port in (p["port"], p.get("name"))]
        slices = self.hub.list(ENDPOINT_SLICE, namespace, f"kubernetes.io/service-name={name}")
        ready = ((s, e["addresses"][0]) for s in slices for e in s["endpoints"] or () if e["conditions"].get("ready"))
        return tuple(sorted(f"{address}:{p['port']}" for s, address in ready for p in s["ports"] if p["name"] in wanted))

    def _load(self, backends: tuple[Backend, ...]) -> None:
        """A new process takes the place of the former one, which keeps its connections."""
        (self.folder / "os_tcp_be.map").write_text("".join(f"^{b.host.replace('.', '[.]')}$ {b.name}\n" for b in backends))
        (self.folder / "haproxy.cfg").write_text(self._config(backends))
        former = [word for p in self.processes[-1:] for word in ("-sf", str(p.pid))]
        with (self.folder / "haproxy.log").open("ab") as log:
            command = [*self.network.enter, str(HAPROXY), "-db", "-f", str(self.folder / "haproxy.cfg"), *former]
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        eventually(lambda: self.network.connects(self.address, HTTPS), lambda: (self.folder / "haproxy.log").read_text(), 30)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(20)

    def _config(self, backends: tuple[Backend, ...]) -> str:
        servers = "".join(
            f"backend {b.name}\n  balance source\n  hash-type consistent\n" + "".join(f"  server {s} {s} weight 1\n" for s in b.servers)
            for b in backends
        )
        found = f"req.ssl_sni,lower,map_reg({self.folder}/os_tcp_be.map)"
        uses = f"  acl sni_passthrough {found} -m found\n  use_backend %[{found}] if sni_passthrough\n"
        return haproxy(f"{self.address}:{HTTPS}", uses + servers)


class Router(Passthrough):
    """`canonical`: the name of the router itself. Like OpenShift's API server, it gives Routes without a host one in its domain."""

    canonical = "router-default.apps.test"

    def found(self) -> Iterator[tuple[Object, str, Object]]:
        for route in self.hub.list(kinds.ROUTE):
            about, spec = route["metadata"], route["spec"]
            if not spec.get("host"):
                host = f"{about['name']}-{about['namespace']}.{self.canonical.partition('.')[2]}"
                route = self.hub.patch(kinds.ROUTE, about["namespace"], about["name"], spec={"host": host})
            if spec["tls"]["termination"] == "passthrough":
                yield route, route["spec"]["host"], {"name": spec["to"]["name"], "port": spec["port"]["targetPort"]}

    def admit(self, obj: Object) -> None:
        if (obj.get("status") or {}).get("ingress"):
            return
        entry = {
            "host": obj["spec"]["host"],
            "routerName": "default",
            "routerCanonicalHostname": self.canonical,
            "wildcardPolicy": "None",
            "conditions": [{"type": "Admitted", "status": "True", "lastTransitionTime": to_time(now_utc())}],
        }
        self.hub.patch_status(kinds.ROUTE, obj["metadata"]["namespace"], obj["metadata"]["name"], ingress=[entry])


class Ingress(Passthrough):
    """Of the classes that are its own."""

    def found(self) -> Iterator[tuple[Object, str, Object]]:
        own = [c["metadata"]["name"] for c in self.hub.list(kinds.INGRESS_CLASS) if c["spec"]["controller"] == CONTROLLER]
        for ingress in self.hub.list(kinds.INGRESS):
            passed = (ingress["metadata"].get("annotations") or {}).get(PASSTHROUGH) == "true"
            if passed and ingress["spec"].get("ingressClassName") in own:
                (rule,) = ingress["spec"]["rules"]
                backend = rule["http"]["paths"][0]["backend"]["service"]
                yield ingress, rule["host"], {"name": backend["name"], "port": backend["port"]["number"]}

    def admit(self, obj: Object) -> None:
        publish(self.hub, kinds.INGRESS, obj, {"ingress": [{"ip": self.address}]})


def _name(obj: Object) -> str:
    return f"be_tcp:{obj['metadata']['namespace']}:{obj['metadata']['name']}"
