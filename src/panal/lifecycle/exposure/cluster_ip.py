"""ClusterIP: clusters reach the Service's own address, because their networks are connected with the hub's."""

from __future__ import annotations

from panal.lifecycle.exposure.listener import ByService, Front, first_port, reachable
from panal.lifecycle.world import Address


class ClusterIP(ByService):
    service_type = "ClusterIP"

    def address(self, front: Front) -> Address | None:
        return reachable(front.found("Service").get("spec", {}).get("clusterIP"), first_port(front).get("port"))

    def waiting_for(self, front: Front) -> str:
        return ""
