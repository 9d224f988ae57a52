"""Route: OpenShift's router leads to the Service by the name in the TLS handshake, on port 443.

The router writes into the status of the Route which name it has admitted, and under which name it can be reached itself.
"""

from __future__ import annotations

from typing import Any

from panal.lifecycle.exposure.listener import HTTPS, ByName, Front
from panal.lifecycle.metadata import owned
from panal.lifecycle.world import Address, Object

API = "route.openshift.io/v1"


class Route(ByName):
    def problem(self, front: Front) -> str:
        served = "Route" in front.world.networks.served
        return "" if served else f"{front.field}.type: the hub does not serve Routes ({API}), which only OpenShift has"

    def objects(self, front: Front) -> list[Object]:
        spec: dict[str, Any] = {
            "to": {"kind": "Service", "name": front.name},
            "port": {"targetPort": "fleet"},
            "tls": {"termination": "passthrough"},
        }
        if front.wanted.host:
            spec["host"] = front.wanted.host
        return [owned(front.world.run, API, "Route", front.name, "aggregator") | {"spec": spec}]

    def address(self, front: Front) -> Address | None:
        admitted = next((i for i in _routers(front) if _admission(i).get("status") == "True" and i.get("host")), None)
        if admitted is None:
            return None
        return Address(front.wanted.ip or admitted.get("routerCanonicalHostname") or admitted["host"], HTTPS, admitted["host"])

    def waiting_for(self, front: Front) -> str:
        refused = next((c for c in map(_admission, _routers(front)) if c.get("status") == "False"), None)
        if refused is None:
            return f"no router has admitted the Route {front.name} yet. Check that an ingress controller of the hub selects its namespace"
        why = f"the router refuses the Route {front.name}: {refused.get('reason', '')}: {refused.get('message', '')}"
        return f"{why.rstrip(': .')}. Correct {front.field}.host in another run, or remove the Route that has the name"


def _routers(front: Front) -> list[Object]:
    """What each router says about the Route."""
    return front.found("Route").get("status", {}).get("ingress") or []


def _admission(router: Object) -> Object:
    return next((c for c in router.get("conditions") or () if c.get("type") == "Admitted"), {})
