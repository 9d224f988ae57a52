"""The address by which sites reach the aggregator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panal.addon.config import NOTHING
from panal.lifecycle.decide import decide
from panal.lifecycle.exposure import address, waiting_for
from panal.lifecycle.world import Address, World
from worlds import NOW, applied, fresh, job, manifests, pod, progress, run, running, service, sites, status_after


def balanced(ingress: list[dict[str, str]], **more: Any) -> World:
    """A run with a LoadBalancer whose Service has this status."""
    listeners = [{"name": "main", "type": "LoadBalancer", "port": 8443}]
    made = {"spec": {"ports": [{"port": 8443}]}, "status": {"loadBalancer": {"ingress": ingress}}}
    return fresh(run=run(server={"listeners": listeners}), service=made, **more)


ADDRESSES: list[tuple[str, World, Address | None, str]] = [
    ("no Service yet", fresh(), None, "the Service of the aggregator is being created"),
    ("a node", fresh(service=service()), Address("10.0.0.1", 30123), "does not resolve the aggregator's address 10.0.0.1"),
    ("no node", fresh(service=service(), node_addresses=()), None, "no Ready node"),
    ("no load balancer yet", balanced([]), None, "has not given the Service an address"),
    ("a load balancer", balanced([{"ip": "192.0.2.1"}]), Address("192.0.2.1", 8443), "does not resolve the aggregator's address 192.0.2.1"),
    ("a named load balancer", balanced([{"hostname": "lb.example"}]), Address("lb.example", 8443), "lb.example"),
]


@pytest.mark.parametrize(("world", "expected", "words"), [case[1:] for case in ADDRESSES], ids=[case[0] for case in ADDRESSES])
def test_the_address_comes_from_the_service_or_the_message_names_what_is_missing(
    world: World, expected: Address | None, words: str
) -> None:
    assert address(world) == expected
    assert words in waiting_for(world)


def test_the_address_of_a_site_is_an_ip_address() -> None:
    named = fresh(
        run=run(server={"listeners": [{"name": "main", "type": "NodePort", "ip": "hub.example"}]}),
        service=service(),
        job=job(pod()),
        progress=progress(connected=0, started=False),
    )
    plan = decide(named, NOW)
    assert not applied(plan, "ManifestWork")
    assert plan.status is not None
    assert "hub.example" in plan.status.message
    assert "10.1.2.3" in manifests(decide(replace(named, resolved={"hub.example": "10.1.2.3"}), NOW))["ConfigMap"]["data"]["cds.json"]
    own = replace(named, sites=sites(1, 2, 3, config=replace(NOTHING, address_host="10.9.9.9")))
    assert "10.9.9.9" in manifests(decide(own, NOW))["ConfigMap"]["data"]["cds.json"]


def test_the_address_stays_while_its_node_exists() -> None:
    status = status_after(running())
    assert status.listeners[0].address == "10.0.0.1"
    joined = running(run=run(status), node_addresses=("10.0.0.0", "10.0.0.1"))
    assert status_after(joined).listeners[0].address == "10.0.0.1"
    gone = running(run=run(status), node_addresses=("10.0.0.0",))
    assert status_after(gone).listeners[0].address == "10.0.0.0"
