"""ClusterIP: spokes reach the Service's own address, because their networks are connected with the hub's."""

from __future__ import annotations

from panal.api.types import Listener
from panal.lifecycle.exposure.listener import first_port, reachable
from panal.lifecycle.world import Address, Object, World


class ClusterIP:
    def port(self, wanted: Listener) -> Object:
        return {}

    def address(self, wanted: Listener, service: Object, world: World) -> Address | None:
        return reachable(service.get("spec", {}).get("clusterIP"), first_port(service).get("port"))

    def waiting_for(self, wanted: Listener, world: World) -> str:
        return ""
