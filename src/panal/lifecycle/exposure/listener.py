"""The contract of a listener type."""

from __future__ import annotations

from typing import Protocol

from panal.api.types import Listener
from panal.lifecycle.world import Address, Object, World


class ListenerKind(Protocol):
    """One type of `spec.server.listeners`. All methods are pure; `service` is the Service of the run as the hub has it."""

    def port(self, wanted: Listener) -> Object:
        """The fields that this type adds to the port of the Service."""
        ...

    def address(self, wanted: Listener, service: Object, world: World) -> Address | None:
        """The address that spokes use; None while the hub has not set it."""
        ...

    def waiting_for(self, wanted: Listener, world: World) -> str:
        """Why `address` is None: the missing part, as a clause."""
        ...


def first_port(service: Object) -> Object:
    """The only port of the Service; empty while there is none."""
    found: Object = (service.get("spec", {}).get("ports") or [{}])[0]
    return found


def reachable(host: object, port: object) -> Address | None:
    """An Address if both are set. A headless Service has the cluster IP `None`."""
    return Address(str(host), int(str(port))) if host and host != "None" and port else None
