"""NodePort: spokes reach a node of the hub, or the address that the listener names."""

from __future__ import annotations

from panal.api.types import Listener
from panal.lifecycle.exposure.listener import first_port, reachable
from panal.lifecycle.world import Address, Object, World

NODE_PORTS = range(30000, 32768)  # Kubernetes' default range


class NodePort:
    def port(self, wanted: Listener) -> Object:
        """A port in the range of node ports is the node port; any other is the Service's port, and the hub chooses the node port."""
        return {"nodePort": wanted.port} if wanted.port in NODE_PORTS else {}

    def address(self, wanted: Listener, service: Object, world: World) -> Address | None:
        return reachable(wanted.ip or _node(world), first_port(service).get("nodePort"))

    def waiting_for(self, wanted: Listener, world: World) -> str:
        reached = world.node_addresses or wanted.ip
        return "" if reached else "the hub has no Ready node with an address. Set spec.server.listeners[0].ip to one that clusters reach"


def _node(world: World) -> str:
    """The node of the last status while it exists: a new address makes every collaborator reconnect."""
    before = next((known.address for known in world.run.status.listeners), "")
    return before if before in world.node_addresses else next(iter(world.node_addresses), "")
