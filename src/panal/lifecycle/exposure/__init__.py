"""How spokes reach the aggregator: the Service of the run's first listener, and the address that follows from it.

Each listener type has a file and an entry in KINDS.
"""

from __future__ import annotations

from collections.abc import Mapping

from panal.addon.config import SiteConfig
from panal.api import names
from panal.api.addresses import is_ip
from panal.api.types import Listener, ListenerStatus, ListenerType
from panal.lifecycle.exposure.cluster_ip import ClusterIP
from panal.lifecycle.exposure.listener import ListenerKind
from panal.lifecycle.exposure.load_balancer import LoadBalancer
from panal.lifecycle.exposure.node_port import NodePort
from panal.lifecycle.metadata import labels, owned
from panal.lifecycle.world import Address, Object, World

KINDS: Mapping[ListenerType, ListenerKind] = {
    ListenerType.NODE_PORT: NodePort(),
    ListenerType.LOAD_BALANCER: LoadBalancer(),
    ListenerType.CLUSTER_IP: ClusterIP(),
}


def listener(world: World) -> Listener:
    """The listener that collaborators use: the first, or a NodePort if none is given."""
    listeners = world.run.spec.server.listeners
    return listeners[0] if listeners else Listener()


def service(world: World) -> Object:
    """The Service in front of the aggregator's gateway."""
    wanted = listener(world)
    port = {"name": "fleet", "port": wanted.port, "targetPort": names.GATEWAY_PORT, "protocol": "TCP"} | KINDS[wanted.type].port(wanted)
    selector = labels(world.run, "aggregator")
    spec = {"type": str(wanted.type), "selector": selector, "ports": [port]}
    return owned(world.run, "v1", "Service", names.aggregator(world.run.name), "aggregator") | {"spec": spec}


def address(world: World) -> Address | None:
    """Where spokes reach the aggregator; None while the hub has not set it."""
    wanted = listener(world)
    kind = KINDS.get(wanted.type)  # `support` ends a run without one
    return kind.address(wanted, world.service, world) if kind and world.service else None


def route(world: World, found: Address, site: SiteConfig) -> Address | None:
    """The IP address by which a site reaches `found`, or the hub's address that the site has configured: the site's Pods have no DNS. None
    while the hub has not resolved the name."""
    host = site.address_host or found.host
    ip = host if is_ip(host) else world.resolved.get(host, "")
    return Address(ip, found.port) if ip else None


def waiting_for(world: World) -> str:
    """Why spokes cannot reach the aggregator yet, as a clause."""
    wanted, found = listener(world), address(world)
    if found:
        where = "spec.server.listeners[0].ip" if wanted.ip else "the Service of the aggregator"
        return f"the hub does not resolve the aggregator's address {found.host}. Correct it in {where}, or in the hub's DNS"
    if world.service is None:
        return "the Service of the aggregator is being created"
    return KINDS[wanted.type].waiting_for(wanted, world) or "the aggregator's Service has no port yet"


def status(world: World) -> list[ListenerStatus]:
    found = address(world)
    wanted = listener(world)
    return [ListenerStatus(name=wanted.name, type=wanted.type, address=found.host, port=found.port)] if found else []
