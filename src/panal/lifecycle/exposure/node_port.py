"""NodePort: clusters reach a node of the hub, or the address that the listener names."""

from __future__ import annotations

from panal.api.types import ListenerType
from panal.lifecycle.exposure.listener import ByService, Front, first_port, reachable
from panal.lifecycle.world import Address, Object

NODE_PORTS = range(30000, 32768)  # Kubernetes' default range


class NodePort(ByService):
    service_type = "NodePort"

    def port(self, front: Front) -> Object:
        """A port in the range of node ports is the node port; any other is the Service's port, and the hub chooses the node port."""
        return {"nodePort": front.wanted.port} if front.wanted.port in NODE_PORTS else {}

    def address(self, front: Front) -> Address | None:
        return reachable(front.wanted.ip or _node(front), first_port(front).get("nodePort"))

    def waiting_for(self, front: Front) -> str:
        reached = front.world.node_addresses or front.wanted.ip
        return "" if reached else f"the hub has no Ready node with an address. Set {front.field}.ip to one that clusters reach"


def _node(front: Front) -> str:
    """The node of the last status while it exists: a new address makes every collaborator reconnect."""
    known, nodes = front.world.run.status.listeners, front.world.node_addresses
    before = [one.address for one in known[front.number : front.number + 1] if one.type is ListenerType.NODE_PORT]
    return next((address for address in before if address in nodes), next(iter(nodes), ""))
