"""LoadBalancer: spokes reach the address that the hub's load balancer gives the Service."""

from __future__ import annotations

from panal.api.types import Listener
from panal.lifecycle.exposure.listener import first_port, reachable
from panal.lifecycle.world import Address, Object, World


class LoadBalancer:
    def port(self, wanted: Listener) -> Object:
        return {}

    def address(self, wanted: Listener, service: Object, world: World) -> Address | None:
        ingress = (service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}])[0]
        return reachable(ingress.get("ip") or ingress.get("hostname"), first_port(service).get("port"))

    def waiting_for(self, wanted: Listener, world: World) -> str:
        return "the hub's load balancer has not given the Service an address yet. Without one, use a listener of type NodePort"
