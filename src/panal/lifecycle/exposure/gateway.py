"""Gateway: a Gateway of the Gateway API leads to the Service by the name in the TLS handshake; a TLSRoute attaches to it.

The Gateway is the administrator's. Several controllers may write into the status of a TLSRoute, and an entry stays when its Gateway is
gone. So only the entry of the controller of the Gateway's class counts, and only while the Gateway exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.lifecycle.exposure.listener import ByName, Front
from panal.lifecycle.metadata import owned
from panal.lifecycle.world import Address, Object

GROUP = "gateway.networking.k8s.io"
# What to do about a condition of the TLSRoute, by its reason. {field}: the listener's field; {namespace}: the run's.
REMEDIES: Mapping[str, str] = {
    "NoMatchingListenerHostname": "The name {host} is not below the hostname of the Gateway's listener. Correct {field}.host",
    "NotAllowedByListeners": "Let allowedRoutes of the Gateway's listener include the namespace {namespace} and the kind TLSRoute",
    "NoMatchingParent": "Correct {field}.gateway",
    "BackendNotFound": "Check the Service {name}",
    "UnsupportedProtocol": "Use a listener of the Gateway with the protocol TLS and the mode Passthrough",
}


class Gateway(ByName):
    def problem(self, front: Front) -> str:
        networks = front.world.networks
        if "TLSRoute" not in networks.served:
            return f"{front.field}.type: the hub does not serve TLSRoutes ({GROUP}). Install the Gateway API with this kind"
        if front.wanted.gateway is None:
            return f"{front.field}.gateway: required with type Gateway"
        gateway, where = _gateway(front), "/".join(_key(front))
        if not gateway:
            return f"{front.field}.gateway: the Gateway {where} does not exist"
        if gateway["spec"]["gatewayClassName"] not in networks.gateway_classes:
            return f"{front.field}.gateway: the GatewayClass {gateway['spec']['gatewayClassName']} of the Gateway {where} does not exist"
        section = front.wanted.gateway.section_name
        listener = _listener(front)
        if not listener:
            what = f"no listener {section}" if section else "no listener"
            return f"{front.field}.gateway: the Gateway {where} has {what} with the protocol TLS and the mode Passthrough"
        return ""

    def objects(self, front: Front) -> list[Object]:
        namespace, name = _key(front)
        parent = {"group": GROUP, "kind": "Gateway", "namespace": namespace, "name": name, "sectionName": _listener(front)["name"]}
        spec = {
            "parentRefs": [parent],
            "hostnames": [_host(front)],
            "rules": [{"backendRefs": [{"name": front.name, "port": front.wanted.port}]}],
        }
        api = front.world.networks.served["TLSRoute"]
        return [owned(front.world.run, api, "TLSRoute", front.name, "aggregator") | {"spec": spec}]

    def address(self, front: Front) -> Address | None:
        host = front.wanted.ip or _reported(front)
        if not host or _unmet(front) is not None:
            return None
        return Address(host, int(_listener(front)["port"]), _host(front))

    def waiting_for(self, front: Front) -> str:
        where = "/".join(_key(front))
        unmet = _unmet(front)
        if unmet is None:
            return f"the Gateway {where} has no address yet. Check its controller, or set {front.field}.ip"
        if not unmet:
            return f"the controller of the Gateway {where} has not accepted the TLSRoute {front.name} yet. Check that it runs"
        known = {"host": _host(front), "field": front.field, "namespace": front.world.run.namespace, "name": front.name}
        remedy = REMEDIES.get(unmet.get("reason", ""), "Check the Gateway").format(**known)
        what = f"{unmet['type']} is {unmet['status']}: {unmet.get('reason', '')}: {unmet.get('message', '')}".rstrip(": .")
        return f"the Gateway {where} does not lead to TLSRoute {front.name}: {what}. {remedy}"


def _key(front: Front) -> tuple[str, str]:
    wanted = front.wanted.gateway
    return (wanted.namespace or front.world.run.namespace, wanted.name) if wanted else ("", "")


def _gateway(front: Front) -> Object:
    """The Gateway; empty if it does not exist, or will soon not."""
    found = front.world.networks.gateways.get(_key(front), {})
    return {} if found.get("metadata", {}).get("deletionTimestamp") else found


def _listener(front: Front) -> Object:
    """The listener of the Gateway that passes TLS through: the named one, or the first."""
    section = front.wanted.gateway.section_name if front.wanted.gateway else ""
    found = (one for one in _gateway(front).get("spec", {}).get("listeners") or () if section in ("", one["name"]))
    return next((one for one in found if one["protocol"] == "TLS" and (one.get("tls") or {}).get("mode") == "Passthrough"), {})


def _host(front: Front) -> str:
    """The name of the run: the given one, or the listener's, or one of the run's own below the listener's wildcard."""
    hostname = _listener(front).get("hostname", "")
    if front.wanted.host or not hostname:
        return front.wanted.host or front.certified
    run = front.world.run
    return f"{run.name}.{run.namespace}{hostname[1:]}" if hostname.startswith("*.") else str(hostname)


def _reported(front: Front) -> str:
    addresses = _gateway(front).get("status", {}).get("addresses") or [{}]
    return str(addresses[0].get("value", ""))


def _unmet(front: Front) -> Object | None:
    """The condition that keeps the Gateway from leading to the Service; empty while its controller has not said; None if there is none."""
    route = front.found("TLSRoute")
    conditions = {c["type"]: c for c in _said(front, route) if c.get("observedGeneration", 0) >= _generation(route, c)}
    for wanted in ("Accepted", "ResolvedRefs"):
        if wanted not in conditions:
            return {}
        if conditions[wanted]["status"] != "True":
            return conditions[wanted]
    return None


def _generation(route: Object, condition: Object) -> int:
    """The generation of the TLSRoute that a condition must be about. A controller may leave it out."""
    return int(route["metadata"].get("generation", 0)) if "observedGeneration" in condition else 0


def _said(front: Front, route: Object) -> list[dict[str, Any]]:
    """The conditions in the entry of the Gateway's own controller."""
    controller = front.world.networks.gateway_classes.get(_gateway(front).get("spec", {}).get("gatewayClassName", ""), "")
    for parent in route.get("status", {}).get("parents") or ():
        ref = parent["parentRef"]
        where = ref.get("namespace") or front.world.run.namespace, ref["name"]
        same = where == _key(front) and ref.get("sectionName", "") in ("", _listener(front)["name"])
        if same and controller and parent["controllerName"] == controller:
            return parent.get("conditions") or []
    return []
