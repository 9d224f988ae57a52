"""Ingress: an Ingress controller that can pass TLS through leads to the Service by the name in the TLS handshake, on port 443.

Ingress has no field for that. Each controller that can has an annotation; the class's controller decides which one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from panal.lifecycle.exposure.listener import HTTPS, ByName, Front, balanced
from panal.lifecycle.metadata import owned
from panal.lifecycle.world import Address, IngressClassView, Object

T = TypeVar("T")

API = "networking.k8s.io/v1"
# By the controller of the IngressClass, which may continue with a slash and a name. Traefik reads the first with its provider for
# ingress-nginx.
PASSTHROUGH: Mapping[str, Mapping[str, str]] = {
    "k8s.io/ingress-nginx": {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"},
    "haproxy.org/ingress-controller": {"haproxy.org/ssl-passthrough": "true"},
    "haproxy-ingress.github.io/controller": {"haproxy-ingress.github.io/ssl-passthrough": "true"},
    "cilium.io/ingress-controller": {"ingress.cilium.io/tls-passthrough": "enabled"},
}
INSTEAD: Mapping[str, str] = {
    "openshift.io/ingress-to-route": "Use a listener of type Route",
    "projectcontour.io": "Use a listener of type Gateway",
    "traefik.io/ingress-controller": "Enable its provider for ingress-nginx and name the class of that, or use a listener of type Gateway",
}


class Ingress(ByName):
    def problem(self, front: Front) -> str:
        if "Ingress" not in front.world.networks.served:
            return f"{front.field}.type: the hub does not serve Ingresses ({API})"
        name, known = _class(front)
        asked, field = front.wanted.ingress_class_name, f"{front.field}.ingressClassName"
        if known is None:
            some = ", ".join(sorted(front.world.networks.ingress_classes)) or "none"
            missing = f"the IngressClass {asked} does not exist" if asked else "the hub has no default IngressClass"
            return f"{field}: {missing}; it has: {some}"
        if _of(known.controller, PASSTHROUGH) is None:
            remedy = _of(known.controller, INSTEAD) or "Use a listener of type LoadBalancer, NodePort or Gateway"
            return f"{field}: the controller of the IngressClass {name} ({known.controller}) is not known to pass TLS through. {remedy}"
        return ""

    def objects(self, front: Front) -> list[Object]:
        name, known = _class(front)
        made = owned(front.world.run, API, "Ingress", front.name, "aggregator")
        made["metadata"]["annotations"] = dict(_of(known.controller, PASSTHROUGH) or {}) if known else {}
        backend = {"service": {"name": front.name, "port": {"number": front.wanted.port}}}
        rule = {"host": _host(front), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        return [made | {"spec": {"ingressClassName": name, "rules": [rule]}}]

    def address(self, front: Front) -> Address | None:
        found = front.found("Ingress")
        host = front.wanted.ip or balanced(found)
        return Address(host, HTTPS, _host(front)) if found and host else None

    def waiting_for(self, front: Front) -> str:
        name, _ = _class(front)
        why = f"the controller of the IngressClass {name} has not given the Ingress {front.name} an address yet"
        return f"{why}. Check that it runs and publishes its address, or set {front.field}.ip"


def _of(controller: str, known: Mapping[str, T]) -> T | None:
    return next((found for prefix, found in known.items() if controller == prefix or controller.startswith(f"{prefix}/")), None)


def _class(front: Front) -> tuple[str, IngressClassView | None]:
    """Name and class: the listener's, or the hub's default."""
    classes = front.world.networks.ingress_classes
    defaults = sorted(name for name, found in classes.items() if found.default)
    name = front.wanted.ingress_class_name or next(iter(defaults), "")
    return name, classes.get(name)


def _host(front: Front) -> str:
    return front.wanted.host or front.certified
