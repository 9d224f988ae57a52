"""The contract of a listener type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from panal.api import names
from panal.api.types import Listener
from panal.lifecycle.world import Address, Object, World

HTTPS = 443


@dataclass(frozen=True, slots=True)
class Front:
    """One listener of a run: `wanted` is its entry in the spec, at the position `number`."""

    world: World
    number: int
    wanted: Listener

    @property
    def name(self) -> str:
        """The name of the listener's objects on the hub."""
        return names.listener(self.world.run.name, self.number)

    @property
    def field(self) -> str:
        return f"spec.server.listeners[{self.number}]"

    @property
    def certified(self) -> str:
        """The name in the certificate of the run, which is the SNI where no other is needed."""
        return names.server_name(self.world.run.name, self.world.run.namespace)

    def found(self, kind: str) -> Object:
        """The listener's object of that kind as the hub has it; empty while there is none."""
        return next((o for o in self.world.exposed if o["kind"] == kind and o["metadata"]["name"] == self.name), {})


class ListenerKind(Protocol):
    """One type of `spec.server.listeners`. All methods are pure."""

    service_type: str

    def problem(self, front: Front) -> str:
        """Why the hub cannot have this listener as it is, as a clause that begins with the field; empty if it can."""
        ...

    def port(self, front: Front) -> Object:
        """The fields that this type adds to the port of the Service."""
        ...

    def objects(self, front: Front) -> list[Object]:
        """The objects beside the Service. Called only if there is no problem."""
        ...

    def address(self, front: Front) -> Address | None:
        """The address that clusters use; None while the hub has not set it. Called only if there is no problem."""
        ...

    def waiting_for(self, front: Front) -> str:
        """Why `address` is None: the missing part, as a clause."""
        ...


class ByService:
    """What types have in common whose Service is reached itself."""

    def problem(self, front: Front) -> str:
        return ""

    def port(self, front: Front) -> Object:
        return {}

    def objects(self, front: Front) -> list[Object]:
        return []


class ByName:
    """What types have in common that lead to the Service by the name in the TLS handshake."""

    service_type = "ClusterIP"

    def port(self, front: Front) -> Object:
        return {}


def first_port(front: Front) -> Object:
    """The only port of the Service; empty while there is none."""
    found: Object = (front.found("Service").get("spec", {}).get("ports") or [{}])[0]
    return found


def balanced(found: Object) -> str:
    """The address that a load balancer has written into an object's status; empty while there is none."""
    ingress = (found.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}])[0]
    return ingress.get("ip") or ingress.get("hostname") or ""


def reachable(host: object, port: object) -> Address | None:
    """An Address if both are set. A headless Service has the cluster IP `None`."""
    return Address(str(host), int(str(port))) if host and host != "None" and port else None
