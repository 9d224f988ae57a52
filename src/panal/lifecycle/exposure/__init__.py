"""How clusters reach the aggregator: the objects of each listener of a run, and the addresses that follow from them.

Each listener has a Service of its own. Types that lead to it by the name in the TLS handshake add an object beside it. Each listener type
has a file and an entry in KINDS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from panal.addon.config import NOTHING, SiteConfig
from panal.api import names
from panal.api.addresses import is_ip
from panal.api.types import Listener, ListenerStatus, ListenerType
from panal.lifecycle.exposure.cluster_ip import ClusterIP
from panal.lifecycle.exposure.gateway import Gateway
from panal.lifecycle.exposure.ingress import Ingress
from panal.lifecycle.exposure.listener import Front, ListenerKind
from panal.lifecycle.exposure.load_balancer import LoadBalancer
from panal.lifecycle.exposure.node_port import NodePort
from panal.lifecycle.exposure.route import Route
from panal.lifecycle.metadata import labels, owned
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.world import Address, Object, World

KINDS: Mapping[ListenerType, ListenerKind] = {
    ListenerType.NODE_PORT: NodePort(),
    ListenerType.LOAD_BALANCER: LoadBalancer(),
    ListenerType.CLUSTER_IP: ClusterIP(),
    ListenerType.ROUTE: Route(),
    ListenerType.GATEWAY: Gateway(),
    ListenerType.INGRESS: Ingress(),
}


class Found(NamedTuple):
    """A listener with an address."""

    name: str
    address: Address


class Way(NamedTuple):
    """How a site reaches the aggregator: an IP address, since the site's Pods have no DNS, and the name to send in the TLS handshake."""

    address: Address
    sni: str


def fronts(world: World) -> list[Front]:
    """The listeners of the run: a NodePort if none is given."""
    return [Front(world, number, wanted) for number, wanted in enumerate(world.run.spec.server.listeners or [Listener()])]


def objects(world: World) -> list[Object]:
    """The Services in front of the aggregator's gateway, and what leads to them. A listener that the hub cannot have has none."""
    return [obj for front in fronts(world) if not _kind(front).problem(front) for obj in (_service(front), *_kind(front).objects(front))]


def found(world: World) -> list[Found]:
    """The listeners that have an address, in the order of the spec."""
    pairs = ((front.wanted.name, _address(front)) for front in fronts(world))
    return [Found(name, address) for name, address in pairs if address]


def way(world: World, listeners: Sequence[Found], site: SiteConfig) -> Way | None:
    """How a site reaches the first listener, or the one that the site has configured, if the run has it. The hub's address that the site
    has configured takes the place of the listener's. None while there is no such listener whose address the hub has resolved."""
    named = site.listener and any(front.wanted.name == site.listener for front in fronts(world))
    ways = (_way(world, one.address, site) for one in listeners if not named or one.name == site.listener)
    return next((way for way in ways if way), None)


def problem(world: World) -> str:
    """Why the hub can have none of the listeners; empty if it can have one."""
    problems = [_kind(front).problem(front) for front in fronts(world)]
    return "; ".join(problems) if all(problems) else ""


def waiting_for(world: World) -> str:
    """Why clusters cannot reach the aggregator by any listener yet, as clauses."""
    return "; ".join(_not_ready(front) for front in fronts(world))


def status(world: World) -> list[ListenerStatus]:
    return [_status(front) for front in fronts(world)]


def hosts(world: World) -> Iterator[str]:
    """The host names by which sites reach the aggregator."""
    used = {one.address.host for one in found(world)} | {site.config.address_host for site in world.sites.values()}
    return (host for host in used if host and not is_ip(host))


def _kind(front: Front) -> ListenerKind:
    return KINDS[front.wanted.type]


def _service(front: Front) -> Object:
    run, kind = front.world.run, _kind(front)
    port = {"name": "fleet", "port": front.wanted.port, "targetPort": names.GATEWAY_PORT, "protocol": "TCP"} | kind.port(front)
    spec = {"type": kind.service_type, "selector": labels(run, "aggregator"), "ports": [port]}
    return owned(run, "v1", "Service", front.name, "aggregator") | {"spec": spec}


def _address(front: Front) -> Address | None:
    """Where clusters reach this listener; None while the hub has not set it."""
    kind = _kind(front)
    return kind.address(front) if front.found("Service") and not kind.problem(front) else None


def _way(world: World, address: Address, site: SiteConfig) -> Way | None:
    host = site.address_host or address.host
    ip = host if is_ip(host) else world.resolved.get(host, "")
    certified = names.server_name(world.run.name, world.run.namespace)
    sni = address.sni or (certified if is_ip(host) else host)
    return Way(Address(ip, address.port), sni) if ip else None


def _not_ready(front: Front) -> str:
    """Why clusters cannot use this listener; empty if they can."""
    kind = _kind(front)
    if problem := kind.problem(front):
        return with_remedy(Reason.LISTENER_NOT_SUPPORTED, problem)
    if not front.found("Service"):
        return "the Service of the aggregator is being created"
    address = kind.address(front)
    if address is None:
        return kind.waiting_for(front) or "the aggregator's Service has no port yet"
    if _way(front.world, address, NOTHING):
        return ""
    where = f"{front.field}.ip" if front.wanted.ip or address.sni else "the Service of the aggregator"
    return f"the hub does not resolve the aggregator's address {address.host}. Correct it in {where}, or in the hub's DNS"


def _status(front: Front) -> ListenerStatus:
    address, why = _address(front), _not_ready(front)
    known = ListenerStatus(name=front.wanted.name, type=front.wanted.type, ready=not why, message=why)
    if address is None:
        return known
    sni = address.sni or (front.certified if is_ip(address.host) else address.host)
    return known.model_copy(update={"address": address.host, "port": address.port, "host": sni})
