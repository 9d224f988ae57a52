"""Listeners that share an address: what leads to the run, and what the hub's objects say about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panal.lifecycle import exposure
from panal.lifecycle.decide import decide
from panal.lifecycle.world import Address, IngressClassView, Networks, Object, World
from worlds import NOW, applied, fresh, job, manifests, pod, progress, run, service

CONTROLLER = "example.com/gateway-controller"
CERTIFIED = "digits.ns.fl.panal"


def gateway(*listeners: Object, **more: Any) -> Object:
    passing = {"name": "fl", "protocol": "TLS", "port": 8443, "hostname": "*.fl.example", "tls": {"mode": "Passthrough"}}
    web = {"name": "web", "protocol": "HTTPS", "port": 443, "tls": {"mode": "Terminate"}}
    return {
        "metadata": {"name": "fl", "namespace": "gateways"},
        "spec": {"gatewayClassName": "example", "listeners": list(listeners) or [web, passing]},
        "status": {"addresses": [{"type": "IPAddress", "value": "192.0.2.9"}]},
    } | more


NETWORKS = Networks(
    served={"Route": "route.openshift.io/v1", "TLSRoute": "gateway.networking.k8s.io/v1alpha3", "Ingress": "networking.k8s.io/v1"},
    gateways={("gateways", "fl"): gateway()},
    gateway_classes={"example": CONTROLLER},
    ingress_classes={
        "nginx": IngressClassView("k8s.io/ingress-nginx", default=True),
        "haproxy": IngressClassView("haproxy.org/ingress-controller/inside"),
        "jcmoraisjr": IngressClassView("haproxy-ingress.github.io/controller"),
        "cilium": IngressClassView("cilium.io/ingress-controller"),
        "contour": IngressClassView("projectcontour.io/ingress-controller"),
        "traefik": IngressClassView("traefik.io/ingress-controller"),
        "alb": IngressClassView("ingress.k8s.aws/alb"),
        "openshift": IngressClassView("openshift.io/ingress-to-route"),
        "almost": IngressClassView("k8s.io/ingress-nginx2"),
    },
)
ROUTE: Object = {"name": "main", "type": "Route"}
GATEWAY: Object = {"name": "main", "type": "Gateway", "gateway": {"name": "fl", "namespace": "gateways"}}
INGRESS: Object = {"name": "main", "type": "Ingress"}


def world(listener: Object, *exposed: Object, networks: Networks = NETWORKS) -> World:
    """The aggregator is ready for collaborators; its Service exists."""
    known = {"job": job(pod()), "progress": progress(connected=0, started=False), "exposed": (service(), *exposed)}
    return fresh(run=run(server={"listeners": [listener]}), networks=networks, **known)


def rendered(of: World, kind: str) -> Object:
    (found,) = applied(decide(of, NOW), kind)
    assert found["metadata"]["name"] == "digits-aggregator"
    assert found["metadata"]["ownerReferences"][0]["name"] == "digits"
    return found


def live(kind: str, **status: Any) -> Object:
    return {"kind": kind, "metadata": {"name": "digits-aggregator", "generation": 1}, "status": status}


def address(of: World) -> Address | None:
    return next((one.address for one in exposure.found(of)), None)


@pytest.mark.parametrize("listener", [ROUTE, GATEWAY, INGRESS], ids=lambda listener: listener["type"])
def test_the_service_is_reached_through_the_shared_address_alone(listener: Object) -> None:
    assert rendered(world(listener), "Service")["spec"]["type"] == "ClusterIP"


@pytest.mark.parametrize(
    ("listener", "exposed"),
    [
        (ROUTE, live("Route", ingress=[{"host": "r.example", "conditions": [{"type": "Admitted", "status": "True"}]}])),
        (GATEWAY | {"host": "r.example"}, live("TLSRoute", parents=[])),
        (INGRESS | {"host": "r.example"}, live("Ingress", loadBalancer={"ingress": [{"ip": "192.0.2.1"}]})),
    ],
    ids=["Route", "Gateway", "Ingress"],
)
def test_the_name_in_the_certificate_does_not_depend_on_the_host(listener: Object, exposed: Object) -> None:
    if exposed["kind"] == "TLSRoute":
        exposed = accepted()
    config = manifests(decide(replace(world(listener, exposed), resolved={"r.example": "192.0.2.1"}), NOW))["ConfigMap"]["data"]["cds.json"]
    assert '"sni":"r.example"' in config
    assert f'"exact":"{CERTIFIED}"' in config


# --- Route --------------------------------------------------------------------------------------------------------
def routed(status: str = "True", **more: Any) -> Object:
    return {"host": "digits-ns.apps.example", "conditions": [{"type": "Admitted", "status": status} | more.pop("why", {})]} | more


def test_a_route_passes_tls_through_to_the_service() -> None:
    spec = rendered(world(ROUTE), "Route")["spec"]
    assert spec == {
        "to": {"kind": "Service", "name": "digits-aggregator"},
        "port": {"targetPort": "fleet"},
        "tls": {"termination": "passthrough"},
    }
    assert rendered(world(ROUTE | {"host": "r1.example"}), "Route")["spec"]["host"] == "r1.example"


HOST = "digits-ns.apps.example"
ROUTERS: list[tuple[str, Object, list[Object], Address | None]] = [
    ("admitted", {}, [routed(routerCanonicalHostname="router.example")], Address("router.example", 443, HOST)),
    ("admitted by a router without a name", {}, [routed()], Address(HOST, 443, HOST)),
    ("admitted by the second", {}, [routed("False"), routed(routerCanonicalHostname="two.example")], Address("two.example", 443, HOST)),
    ("at a given address", {"ip": "192.0.2.7"}, [routed(routerCanonicalHostname="router.example")], Address("192.0.2.7", 443, HOST)),
    ("refused", {}, [routed("False")], None),
    ("not yet seen", {}, [], None),
    ("not yet judged", {}, [{"host": HOST, "routerName": "default"}], None),
]


@pytest.mark.parametrize(("more", "ingress", "expected"), [case[1:] for case in ROUTERS], ids=[case[0] for case in ROUTERS])
def test_the_router_says_where_it_is_and_which_name_it_has_admitted(more: Object, ingress: list[Object], expected: Address | None) -> None:
    assert address(world(ROUTE | more, live("Route", ingress=ingress))) == expected


def test_a_router_that_the_hub_does_not_resolve_has_a_remedy() -> None:
    of = world(ROUTE, live("Route", ingress=[routed(routerCanonicalHostname="router.example")]))
    words = "the hub does not resolve the aggregator's address router.example. Correct it in spec.server.listeners[0].ip"
    assert words in exposure.status(of)[0].message
    known = exposure.status(replace(of, resolved={"router.example": "192.0.2.1"}))[0]
    assert (known.ready, known.address, known.host) == (True, "router.example", HOST)


def test_a_route_that_is_not_admitted_says_why() -> None:
    why = {"reason": "HostAlreadyClaimed", "message": "route other/digits already exposes it"}
    refused = world(ROUTE, live("Route", ingress=[routed("False", why=why)]))
    assert "HostAlreadyClaimed: route other/digits already exposes it. Correct spec.server.listeners[0].host" in exposure.waiting_for(
        refused
    )
    assert "no router has admitted the Route digits-aggregator yet" in exposure.waiting_for(world(ROUTE, live("Route")))
    assert "no router has admitted" in exposure.waiting_for(world(ROUTE))


# --- Gateway ------------------------------------------------------------------------------------------------------
def parent(controller: str = CONTROLLER, section: str = "fl", namespace: str = "gateways", **conditions: Any) -> Object:
    told = {"Accepted": {"status": "True"}, "ResolvedRefs": {"status": "True"}} | conditions
    return {
        "parentRef": {"name": "fl", "namespace": namespace, "sectionName": section},
        "controllerName": controller,
        "conditions": [{"type": type_} | found for type_, found in told.items() if found],
    }


def accepted(*parents: Object) -> Object:
    return live("TLSRoute", parents=list(parents) or [parent()])


def test_a_tls_route_attaches_to_the_listener_that_passes_tls_through() -> None:
    made = rendered(world(GATEWAY), "TLSRoute")
    assert made["apiVersion"] == "gateway.networking.k8s.io/v1alpha3"
    (ref,) = made["spec"]["parentRefs"]
    assert (ref["namespace"], ref["name"], ref["sectionName"]) == ("gateways", "fl", "fl")
    assert made["spec"]["rules"] == [{"backendRefs": [{"name": "digits-aggregator", "port": 8080}]}]


def listener_with(hostname: str) -> Networks:
    one = {"name": "fl", "protocol": "TLS", "port": 443, "tls": {"mode": "Passthrough"}} | ({"hostname": hostname} if hostname else {})
    return replace(NETWORKS, gateways={("gateways", "fl"): gateway(one)})


@pytest.mark.parametrize(
    ("hostname", "host", "expected"),
    [
        ("*.fl.example", "", "digits.ns.fl.example"),
        ("*.fl.example", "one.fl.example", "one.fl.example"),
        ("fl.example", "", "fl.example"),
        ("", "", CERTIFIED),
        ("", "one.example", "one.example"),
    ],
)
def test_the_host_of_a_run_is_given_or_below_the_wildcard_of_the_listener(hostname: str, host: str, expected: str) -> None:
    of = world(GATEWAY | {"host": host}, accepted(), networks=listener_with(hostname))
    assert rendered(of, "TLSRoute")["spec"]["hostnames"] == [expected]
    assert address(of) == Address("192.0.2.9", 443, expected)


OTHERS = parent("example.com/another", Accepted={"status": "False", "reason": "NotAllowedByListeners"})
PARENTS: list[tuple[str, list[Object], bool]] = [
    ("accepted", [parent()], True),
    ("accepted, whatever another controller says", [OTHERS, parent()], True),
    ("accepted by another controller", [parent("example.com/another")], False),
    ("accepted for another listener", [parent(section="web")], False),
    ("accepted for a Gateway of another namespace", [parent(namespace="ns")], False),
    ("not judged yet", [parent(Accepted=None)], False),
    ("its Service not looked for yet", [parent(ResolvedRefs=None)], False),
    ("refused", [parent(Accepted={"status": "False"})], False),
    ("without its Service", [parent(ResolvedRefs={"status": "False"})], False),
    ("accepted before it was changed", [parent(Accepted={"status": "True", "observedGeneration": 0})], False),
    ("accepted as it is", [parent(Accepted={"status": "True", "observedGeneration": 1})], True),
]


@pytest.mark.parametrize(("parents", "ready"), [case[1:] for case in PARENTS], ids=[case[0] for case in PARENTS])
def test_only_the_gateways_own_controller_is_believed(parents: list[Object], ready: bool) -> None:
    of = world(GATEWAY, accepted(*parents))
    assert (address(of) is not None) == ready
    assert exposure.status(of)[0].ready == ready


@pytest.mark.parametrize(
    "networks",
    [
        replace(NETWORKS, gateways={}),
        replace(NETWORKS, gateways={("gateways", "fl"): gateway(metadata={"name": "fl", "deletionTimestamp": "2026-03-01T12:00:00Z"})}),
        replace(NETWORKS, gateway_classes={}),
        replace(NETWORKS, served={}),
    ],
    ids=["the Gateway is gone", "the Gateway is being deleted", "its class is gone", "the API is gone"],
)
def test_a_status_that_outlives_its_gateway_is_not_believed(networks: Networks) -> None:
    of = world(GATEWAY, accepted(), networks=networks)
    assert address(of) is None
    assert not exposure.status(of)[0].ready
    assert not applied(decide(of, NOW), "TLSRoute")
    assert not applied(decide(of, NOW), "ManifestWork")


def test_the_address_of_a_gateway_is_its_own_or_given() -> None:
    silent = replace(NETWORKS, gateways={("gateways", "fl"): gateway(status={})})
    of = world(GATEWAY, accepted(), networks=silent)
    assert address(of) is None
    assert "the Gateway gateways/fl has no address yet. Check its controller, or set spec.server" in exposure.waiting_for(of)
    given = world(GATEWAY | {"ip": "192.0.2.7"}, accepted(), networks=silent)
    assert address(given) == Address("192.0.2.7", 8443, "digits.ns.fl.example")


@pytest.mark.parametrize(
    ("type_", "reason", "words"),
    [
        ("Accepted", "NoMatchingListenerHostname", "digits.ns.fl.example is not below the hostname of the Gateway's listener"),
        ("Accepted", "NotAllowedByListeners", "Let allowedRoutes of the Gateway's listener include the namespace ns"),
        ("Accepted", "NoMatchingParent", "Correct spec.server.listeners[0].gateway"),
        ("ResolvedRefs", "BackendNotFound", "Check the Service digits-aggregator"),
        ("Accepted", "SomethingElse", "Check the Gateway"),
    ],
)
def test_a_refusal_of_the_gateway_says_what_to_do(type_: str, reason: str, words: str) -> None:
    condition = {"status": "False", "reason": reason, "message": "as the controller says."}
    why = exposure.waiting_for(world(GATEWAY, accepted(parent(**{type_: condition}))))
    assert f"{type_} is False: {reason}: as the controller says. " in why
    assert words in why


def test_a_gateway_whose_controller_is_silent_says_so() -> None:
    words = "the controller of the Gateway gateways/fl has not accepted the TLSRoute digits-aggregator yet"
    assert words in exposure.waiting_for(world(GATEWAY))
    assert words in exposure.waiting_for(world(GATEWAY, accepted(OTHERS)))


def in_gateway(**reference: str) -> Object:
    return {"type": "Gateway", "gateway": {"name": "fl", "namespace": "gateways"} | reference}


@pytest.mark.parametrize(
    ("listener", "networks", "words"),
    [
        ({"type": "Gateway"}, NETWORKS, "gateway: required with type Gateway"),
        (in_gateway(), replace(NETWORKS, served={}), "type: the hub does not serve TLSRoutes"),
        (in_gateway(namespace=""), NETWORKS, "gateway: the Gateway ns/fl does not exist"),
        (in_gateway(), replace(NETWORKS, gateway_classes={}), "the GatewayClass example of the Gateway gateways/fl does not exist"),
        (in_gateway(sectionName="no-such"), NETWORKS, "has no listener no-such with the protocol TLS and the mode Passthrough"),
        (in_gateway(sectionName="web"), NETWORKS, "has no listener web with the protocol TLS and the mode Passthrough"),
    ],
)
def test_a_gateway_that_cannot_be_used_is_named(listener: Object, networks: Networks, words: str) -> None:
    of = replace(world(listener, networks=networks), job=None, progress=None)
    assert words in exposure.problem(of)
    assert exposure.problem(of).startswith("spec.server.listeners[0].")


# --- Ingress ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("class_name", "annotation"),
    [
        ("", {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}),
        ("nginx", {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}),
        ("haproxy", {"haproxy.org/ssl-passthrough": "true"}),
        ("jcmoraisjr", {"haproxy-ingress.github.io/ssl-passthrough": "true"}),
        ("cilium", {"ingress.cilium.io/tls-passthrough": "enabled"}),
    ],
)
def test_the_controller_of_the_class_decides_how_tls_is_passed_through(class_name: str, annotation: Object) -> None:
    made = rendered(world(INGRESS | {"ingressClassName": class_name}), "Ingress")
    assert made["metadata"]["annotations"] == annotation
    assert made["spec"]["ingressClassName"] == (class_name or "nginx")
    (rule,) = made["spec"]["rules"]
    assert rule["host"] == CERTIFIED
    (path,) = rule["http"]["paths"]
    assert path["backend"] == {"service": {"name": "digits-aggregator", "port": {"number": 8080}}}


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        ("contour", "the IngressClass contour (projectcontour.io/ingress-controller) is not known to pass TLS through. Use a listener of"),
        ("traefik", "Enable its provider for ingress-nginx and name the class of that"),
        ("openshift", "Use a listener of type Route"),
        ("alb", "Use a listener of type LoadBalancer, NodePort or Gateway"),
        ("almost", "is not known to pass TLS through"),
        ("no-such", "the IngressClass no-such does not exist; it has: alb, almost, cilium"),
    ],
)
def test_a_class_that_cannot_is_named_with_the_remedy(class_name: str, words: str) -> None:
    of = world(INGRESS | {"ingressClassName": class_name})
    assert exposure.problem(of).startswith("spec.server.listeners[0].ingressClassName: ")
    assert words in exposure.problem(of)
    assert not applied(decide(of, NOW), "Ingress")


def test_the_address_of_an_ingress_is_what_its_controller_publishes_or_given() -> None:
    for entry, host in (({"ip": "192.0.2.1"}, "192.0.2.1"), ({"hostname": "lb.example"}, "lb.example")):
        assert address(world(INGRESS, live("Ingress", loadBalancer={"ingress": [entry]}))) == Address(host, 443, CERTIFIED)
    silent = world(INGRESS | {"host": "r1.example"}, live("Ingress"))
    assert address(silent) is None
    assert "the controller of the IngressClass nginx has not given the Ingress digits-aggregator an address" in exposure.waiting_for(silent)
    given = INGRESS | {"ip": "192.0.2.7", "host": "r1.example"}
    assert address(world(given, live("Ingress"))) == Address("192.0.2.7", 443, "r1.example")
    assert address(world(given)) is None


def test_a_site_may_have_another_address_of_the_hub_for_the_same_name() -> None:
    of = world(INGRESS | {"host": "r1.example"}, live("Ingress", loadBalancer={"ingress": [{"ip": "192.0.2.1"}]}))
    sites = {name: replace(site, config=replace(site.config, address_host="198.51.100.1")) for name, site in of.sites.items()}
    config = manifests(decide(replace(of, sites=sites), NOW))["ConfigMap"]["data"]["cds.json"]
    assert '"198.51.100.1"' in config
    assert '"sni":"r1.example"' in config
