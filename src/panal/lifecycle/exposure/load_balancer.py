"""LoadBalancer: clusters reach the address that the hub's load balancer gives the Service."""

from __future__ import annotations

from panal.lifecycle.exposure.listener import ByService, Front, balanced, first_port, reachable
from panal.lifecycle.world import Address


class LoadBalancer(ByService):
    service_type = "LoadBalancer"

    def address(self, front: Front) -> Address | None:
        return reachable(balanced(front.found("Service")), first_port(front).get("port"))

    def waiting_for(self, front: Front) -> str:
        return "the hub's load balancer has not given the Service an address yet. Without one, use a listener of type NodePort"
