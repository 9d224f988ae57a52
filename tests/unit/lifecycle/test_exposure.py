"""The addresses by which sites reach the aggregator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panal.addon.config import NOTHING
from panal.api.types import ListenerStatus
from panal.lifecycle import exposure
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import Address, Object, PlacementView, Refusal, World
from worlds import NOW, applied, fresh, job, manifests, pod, progress, reason_of, run, running, service, sites, status_after


def listening(*listeners: Object, **changes: Any) -> World:
    return fresh(run=run(server={"listeners": list(listeners)}), **changes)


def balanced(ingress: list[dict[str, str]], **more: Any) -> World:
    """A run with a LoadBalancer whose Service has this status."""
    made = service() | {"spec": {"ports": [{"port": 8443}]}, "status": {"loadBalancer": {"ingress": ingress}}}
    return listening({"name": "main", "type": "LoadBalancer", "port": 8443}, exposed=(made,), **more)


ADDRESSES: list[tuple[str, World, Address | None, str]] = [
    ("no Service yet", fresh(), None, "the Service of the aggregator is being created"),
    ("a node", fresh(exposed=(service(),)), Address("10.0.0.1", 30123), ""),
    ("no node", fresh(exposed=(service(),), node_addresses=()), None, "no Ready node"),
    ("no load balancer yet", balanced([]), None, "has not given the Service an address"),
    ("a load balancer", balanced([{"ip": "192.0.2.1"}]), Address("192.0.2.1", 8443), ""),
    ("a named load balancer", balanced([{"hostname": "lb.example"}]), Address("lb.example", 8443), "address lb.example. Correct it in the"),
    ("a Service without connection", listening({"type": "ClusterIP"}, exposed=(service(),)), Address("10.96.0.9", 8080), ""),
]


@pytest.mark.parametrize(("world", "expected", "words"), [case[1:] for case in ADDRESSES], ids=[case[0] for case in ADDRESSES])
def test_the_address_comes_from_the_service_or_the_message_names_what_is_missing(
    world: World, expected: Address | None, words: str
) -> None:
    assert [one.address for one in exposure.found(world)] == ([expected] if expected else [])
    (status,) = exposure.status(world)
    assert (status.address, status.port) == ((expected.host, expected.port) if expected else ("", 0))
    assert status.ready == (not words)
    assert words in status.message
    assert words in exposure.waiting_for(world)


def starting(*listeners: Object, **changes: Any) -> World:
    """The aggregator is ready for collaborators."""
    return listening(*listeners, **{"job": job(pod()), "progress": progress(connected=0, started=False)} | changes)


def gateway_of(world: World) -> str:
    """The configuration of the gateway at a site."""
    found: str = manifests(decide(world, NOW))["ConfigMap"]["data"]["cds.json"]
    return found


def test_the_address_of_a_site_is_an_ip_address() -> None:
    named = starting({"name": "main", "type": "NodePort", "ip": "hub.example"}, exposed=(service(),))
    plan = decide(named, NOW)
    assert not applied(plan, "ManifestWork")
    assert plan.status is not None
    assert "hub.example" in plan.status.message
    assert '"10.1.2.3"' in gateway_of(replace(named, resolved={"hub.example": "10.1.2.3"}))
    own = replace(named, sites=sites(1, 2, 3, config=replace(NOTHING, address_host="10.9.9.9")))
    assert '"10.9.9.9"' in gateway_of(own)


def test_the_address_stays_while_its_node_exists() -> None:
    status = status_after(running())
    assert status.listeners[0].address == "10.0.0.1"
    joined = running(run=run(status), node_addresses=("10.0.0.0", "10.0.0.1"))
    assert status_after(joined).listeners[0].address == "10.0.0.1"
    gone = running(run=run(status), node_addresses=("10.0.0.0",))
    assert status_after(gone).listeners[0].address == "10.0.0.0"


BALANCER, NODES = {"name": "lb", "type": "LoadBalancer", "port": 8443}, {"name": "nodes", "type": "NodePort"}
SECOND = service() | {"metadata": {"name": "digits-aggregator-2"}}


def of_balancer(*ingress: Object) -> Object:
    return service() | {"status": {"loadBalancer": {"ingress": list(ingress)}}}


def test_each_listener_has_a_service_of_its_own() -> None:
    one, two = applied(decide(listening(BALANCER, NODES), NOW), "Service")
    assert (one["metadata"]["name"], one["spec"]["type"]) == ("digits-aggregator", "LoadBalancer")
    assert (two["metadata"]["name"], two["spec"]["type"]) == ("digits-aggregator-2", "NodePort")
    assert one["spec"]["selector"] == two["spec"]["selector"]


def test_each_site_uses_the_first_listener_that_is_ready_or_the_one_that_it_has_chosen() -> None:
    both = starting(BALANCER, NODES, exposed=(of_balancer({"ip": "192.0.2.1"}), SECOND))
    assert '"192.0.2.1"' in gateway_of(both)
    assert '"10.0.0.1"' in gateway_of(replace(both, exposed=(of_balancer(), SECOND)))
    unresolved = replace(both, exposed=(of_balancer({"hostname": "lb.example"}), SECOND))
    assert '"10.0.0.1"' in gateway_of(unresolved)
    for listener, address in (("nodes", "10.0.0.1"), ("another", "192.0.2.1")):
        assert f'"{address}"' in gateway_of(replace(both, sites=sites(1, 2, 3, config=replace(NOTHING, listener=listener))))
    chosen = replace(unresolved, sites=sites(1, 2, 3, config=replace(NOTHING, listener="lb")))
    assert not applied(decide(chosen, NOW), "ManifestWork")


def test_the_status_has_each_listener() -> None:
    world = starting(BALANCER, NODES, exposed=(of_balancer(), SECOND))
    lb, nodes = status_after(world).listeners
    assert (lb.name, lb.type, lb.address, lb.port, lb.host, lb.ready) == ("lb", "LoadBalancer", "", 0, "", False)
    assert "has not given the Service an address" in lb.message
    assert nodes == ListenerStatus(name="nodes", type="NodePort", address="10.0.0.1", port=30123, host="digits.ns.fl.panal", ready=True)


def test_the_sni_is_the_name_of_the_address_or_that_of_the_certificate() -> None:
    named = starting({"type": "NodePort", "ip": "hub.example"}, exposed=(service(),), resolved={"hub.example": "10.1.2.3"})
    assert status_after(named).listeners[0].host == "hub.example"
    assert '"sni":"hub.example"' in gateway_of(named)
    assert '"exact":"digits.ns.fl.panal"' in gateway_of(named)
    assert '"sni":"digits.ns.fl.panal"' in gateway_of(starting(exposed=(service(),)))


def test_a_run_starts_if_the_hub_can_have_one_of_its_listeners() -> None:
    world = starting({"type": "Route"}, NODES, exposed=(SECOND,))
    assert [o["metadata"]["name"] for o in applied(decide(world, NOW), "Service")] == ["digits-aggregator-2"]
    assert '"10.0.0.1"' in gateway_of(world)
    assert "the hub does not serve Routes" in status_after(world).listeners[0].message


def test_a_run_that_the_hub_cannot_expose_does_not_start_and_looks_again() -> None:
    plan = decide(listening({"type": "Route"}), NOW)
    assert {o["kind"] for o in plan.apply} == {"Placement"}
    assert plan.status is not None
    assert reason_of(plan.status) == Reason.LISTENER_NOT_SUPPORTED
    assert plan.status.start_time is None
    assert not plan.status.listeners[0].ready
    assert plan.look_again == 30
    near = listening({"type": "Route"})
    near = replace(near, run=replace(near.run, spec=near.run.spec.model_copy(update={"active_deadline_seconds": 3610})))
    assert 10 <= (decide(near, NOW).look_again or 0) < 11


def test_a_run_that_has_not_started_has_no_listeners() -> None:
    assert status_after(fresh(placement=PlacementView(frozenset()))).listeners == []
    assert status_after(running(run=run(status_after(running()), suspend=True))).listeners == []


def test_a_refused_service_names_its_listener() -> None:
    refusal = Refusal("Service", "ns", "digits-aggregator-2", "spec.ports[0].nodePort: Invalid value: already allocated", True)
    status = status_after(listening(BALANCER, NODES, refused=(refusal,)))
    assert status.message.startswith("spec.server.listeners[1].port: the hub refuses Service digits-aggregator-2")


def test_what_leads_to_an_ended_run_is_deleted_after_the_last_work() -> None:
    left = tuple((api, kind, "digits-aggregator") for api, kind in (("v1", "Service"), ("route.openshift.io/v1", "Route")))
    status = status_after(running())
    ended = run(status.model_copy(update={"phase": "Completed"}))
    assert {r.kind for r in decide(running(run=ended, leftovers=left), NOW).delete} == {"ManifestWork", "Job"}
    assert {r.kind for r in decide(running(run=ended, leftovers=left, works={}), NOW).delete} == {"Service", "Route", "Job"}
