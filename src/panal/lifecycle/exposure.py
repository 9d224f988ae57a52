"""How spokes reach the aggregator: the Service of the run's first listener, and the address that comes of it."""

from __future__ import annotations

from panal.addon.config import SiteConfig
from panal.api import names
from panal.api.addresses import is_ip
from panal.api.types import Listener, ListenerStatus, ListenerType
from panal.lifecycle.metadata import labels, owned
from panal.lifecycle.world import Address, Object, World

NODE_PORTS = range(30000, 32768)  # Kubernetes' default range


def listener(world: World) -> Listener:
    """The listener that collaborators use: the first, or a NodePort if none is given."""
    listeners = world.run.spec.server.listeners
    return listeners[0] if listeners else Listener()


def service(world: World) -> Object:
    """A NodePort listener's port is the nodePort where it lies in that range, else the Service's port (the nodePort is then chosen)."""
    wanted = listener(world)
    port: dict[str, object] = {"name": "fleet", "port": wanted.port, "targetPort": names.GATEWAY_PORT, "protocol": "TCP"}
    if wanted.type is ListenerType.NODE_PORT and wanted.port in NODE_PORTS:
        port["nodePort"] = wanted.port
    selector = labels(world.run, "aggregator")
    spec = {"type": str(wanted.type), "selector": selector, "ports": [port]}
    return owned(world.run, "v1", "Service", names.aggregator(world.run.name), "aggregator") | {"spec": spec}


def address(world: World) -> Address | None:
    """Where spokes reach the aggregator, or None while the hub has not said."""
    if world.service is None:
        return None
    wanted = listener(world)
    ports = world.service.get("spec", {}).get("ports") or [{}]
    if wanted.type is ListenerType.NODE_PORT:
        host = wanted.ip or _node(world)
        port = ports[0].get("nodePort")
    elif wanted.type is ListenerType.LOAD_BALANCER:
        ingress = (world.service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}])[0]
        host, port = ingress.get("ip") or ingress.get("hostname") or "", ports[0].get("port")
    else:
        host, port = world.service.get("spec", {}).get("clusterIP") or "", ports[0].get("port")
    return Address(host, int(port)) if host and host != "None" and port else None


def route(world: World, found: Address, site: SiteConfig) -> Address | None:
    """How a site reaches `found`: by an IP address, for its pods resolve no names; None while the name is not resolved. A site may have
    an address of its own for the hub."""
    host = site.address_host or found.host
    ip = host if is_ip(host) else world.resolved.get(host, "")
    return Address(ip, found.port) if ip else None


def _node(world: World) -> str:
    """The node that was chosen first, as long as it is there: a new address would have every collaborator connect again."""
    before = next((known.address for known in world.run.status.listeners), "")
    return before if before in world.node_addresses else next(iter(world.node_addresses), "")


def waiting_for(world: World) -> str:
    """What an address is waited for, in words."""
    wanted, found = listener(world), address(world)
    if found:
        return f"the hub does not resolve the aggregator's address {found.host}"
    if world.service is None:
        return "the Service of the aggregator is being made"
    if wanted.type is ListenerType.LOAD_BALANCER:
        return "the hub's load balancer has not given the Service an address yet"
    if wanted.type is ListenerType.NODE_PORT and not world.node_addresses and not wanted.ip:
        return "the hub has no Ready node with an address"
    return "the aggregator's Service has no port yet"


def status(world: World) -> list[ListenerStatus]:
    found = address(world)
    wanted = listener(world)
    return [ListenerStatus(name=wanted.name, type=wanted.type, address=found.host, port=found.port)] if found else []
