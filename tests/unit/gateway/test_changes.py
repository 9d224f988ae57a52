"""What changes while a run goes on, without a restart and without a failed request of anybody else's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from certificates import authority
from gateways import RUN, SERVER, Hub, Load, Runtime, Spoke, Stream, post, wait_for, write
from panal.api import names
from panal.gateway import aggregator
from panal.gateway.traffic import Traffic


@pytest.fixture
def stream() -> Iterator[Callable[[Spoke], Stream]]:
    made: list[Stream] = []

    def make(spoke: Spoke) -> Stream:
        made.append(Stream(spoke.port))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def renew_often(hub: Hub) -> None:
    """Connections live for a fifth of a second, in the place of an hour."""
    lds = (hub.folder / "lds.json").read_text()
    short = lds.replace('"max_connection_duration": "3600s"', '"max_connection_duration": "0.2s"')
    assert short != lds
    write(hub.folder, {"lds.json": short.encode()})


def some_connections(hub: Hub, cluster: str = "c1") -> None:
    """Until the cluster has made three new ones: each proves anew who is who."""

    before = hub.connections(cluster)
    wait_for("new connections", lambda: hub.connections(cluster) >= before + 3)


def test_a_cluster_that_leaves_is_cut_off_within_5_seconds_and_no_other(
    own_hub: Hub, spoke: Callable[..., Spoke], stream: Callable[[Spoke], Stream]
) -> None:
    stays, goes = spoke(own_hub, "c1"), spoke(own_hub, "c2")
    staying, going = stream(stays), stream(goes)
    assert staying.flows()
    assert going.flows()
    own_hub.let_in("c1")
    began = time.monotonic()
    wait_for("the end of its stream", lambda: going.ended, 5)
    assert time.monotonic() - began < 5
    assert staying.flows()
    before = len(own_hub.envoy.refusals)
    assert post(goes.port).status == 503
    own_hub.envoy.refusal(before, chain="strangers", certificate=names.cluster_uri("c2"))
    own_hub.let_in("c1", "c2", "c3")
    wait_for("its return", lambda: post(goes.port).status == 200)
    assert staying.flows()
    assert len([r for r in own_hub.envoy.refusals if r["chain"] == "c1"]) == 0


def test_a_revoked_certificate_is_refused_at_the_next_connection(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    one, other = spoke(own_hub, "c1"), spoke(own_hub, "c2")
    again = Spoke(one.folder.parent / "again", one.address, one.pair, one.servers)
    own_hub.revoke(one.pair)
    try:
        again.start()
        assert post(again.port).status == 503
    finally:
        again.envoy.stop()
    own_hub.envoy.refusal(chain="c1", reason="revoked")
    assert post(other.port).status == 200


def test_a_collaborators_certificate_and_all_authorities_change_under_load(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    """In the order of a rotation: both are trusted before the new one signs, and until nothing of the old one is left."""
    one = spoke(own_hub, "c1")
    renew_often(own_hub)
    old_pair = one.pair
    old, new = own_hub.collaborators, authority("collaborators")
    old_servers, new_servers = own_hub.servers, authority("servers")
    with Load(one.port) as load:
        some_connections(own_hub)
        write(own_hub.folder, {"crl.pem": old.crl() + new.crl(), "ca.crt": old.certificate + new.certificate})
        one.servers = (old_servers, new_servers)
        one.write()
        some_connections(own_hub)
        own_hub.identify(new_servers.server(SERVER))
        one.pair = new.collaborator("c1")
        one.write()
        some_connections(own_hub)
        own_hub.collaborators = new
        write(own_hub.folder, {"ca.crt": new.certificate, "crl.pem": new.crl()})
        one.servers = (new_servers,)
        one.write()
        some_connections(own_hub)
    assert set(load.statuses) == {200}
    assert not own_hub.envoy.refusals
    # And the new ones are in use: a new connection succeeds by them, and by nothing old.
    fresh = spoke(own_hub, "c1", servers=(new_servers,))
    assert post(fresh.port).status == 200
    assert post(spoke(own_hub, "c1", servers=(old_servers,)).port).status == 503
    assert post(spoke(own_hub, "c1", pair=old_pair, servers=(new_servers,)).port).status == 503
    own_hub.let_in()
    wait_for("its connection's end", lambda: post(one.port).status == 503)
    own_hub.let_in("c1")
    wait_for("its return", lambda: post(one.port).status == 200)


def test_the_address_changes_under_load(own_hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], hub: Hub) -> None:
    """The other aggregator has another authority, name and port: all of it changes in one switch."""
    one = spoke(own_hub, "c1")
    with Load(one.port) as load:
        load.goes_on()
        one.address, one.servers, one.pair = ("localhost", hub.port), (hub.servers,), hub.collaborators.collaborator("c1")
        one.write()
        wait_for("requests at the other", lambda: hub.stats()[names.ClusterName("c1")].requests > 5)
    assert set(load.statuses) == {200}


@pytest.mark.parametrize("first", ["tls.crt", "lds.json"])
def test_the_aggregators_certificate_may_come_late(own_hub: Hub, spoke: Callable[..., Spoke], runtime: Runtime, first: str) -> None:
    """Envoy starts before the controller has signed: with files in the right order, or in any."""
    late = Hub(own_hub.folder.parent / "late", runtime.port)
    write(late.folder, aggregator.EMPTY)
    late.envoy.start()
    try:
        wait_for("the probe's answer", lambda: post_health(late) == 200)
        steps = [late.identify, lambda: late.let_in("c1")]
        write(late.folder, {"ca.crt": late.collaborators.certificate})
        late.revoke()
        for step in steps if first == "tls.crt" else reversed(steps):
            step()
            time.sleep(0.1)
        one = spoke(late, "c1")
        wait_for("a first answer", lambda: post(one.port).status == 200)
    finally:
        late.envoy.stop()


def post_health(hub: Hub) -> int:
    try:
        return post(hub.health_port, "/ready", method="GET").status
    except OSError:
        return 0


def test_the_health_port_answers_nothing_but_whether_it_is_ready(hub: Hub) -> None:
    assert post_health(hub) == 200
    assert post(hub.health_port, "/ready", method="HEAD").status == 200
    for method, path in (("POST", "/ready"), ("GET", "/"), ("GET", "/ready/"), ("GET", "/stats"), ("POST", "/v1/fleet/x")):
        assert post(hub.health_port, path, method=method).status == 401, (method, path)


def test_the_gateway_starts_again_where_it_was_killed(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    one = spoke(own_hub, "c1")
    assert post(one.port).status == 200
    own_hub.envoy.stop()
    assert post(one.port).status == 503
    own_hub.envoy.start()
    wait_for("its answer", lambda: post(one.port).status == 200)
    assert own_hub.stats()[names.ClusterName("c1")].requests == 1


def test_a_connection_that_is_too_old_is_replaced_and_its_streams_end_in_peace(
    own_hub: Hub, spoke: Callable[..., Spoke], stream: Callable[[Spoke], Stream]
) -> None:
    one = spoke(own_hub, "c1")
    renew_often(own_hub)
    slow = stream(one)
    assert slow.flows()
    with Load(one.port) as load:
        some_connections(own_hub)
    assert set(load.statuses) == {200}
    assert slow.flows()


def test_traffic_is_counted_for_each_cluster_whatever_its_name(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    dotted = "site.a-1.example"
    own_hub.let_in("c1", dotted)
    wait_for("the change", lambda: set(own_hub.stats()) == {"", "c1", dotted})
    one = spoke(own_hub, dotted, protocol=names.protocol(RUN, dotted))
    assert post(one.port, body=b"x" * 100_000).status == 200
    assert post(one.port, "/v1/control/x").status == 404
    assert post(spoke(own_hub, "c9").port).status == 503
    found = own_hub.stats()
    assert found[names.ClusterName("c1")] == Traffic()
    assert found[names.ClusterName("")].refused >= 1
    traffic = found[names.ClusterName(dotted)]
    assert (traffic.requests, traffic.refused) == (2, 1)
    assert 100_000 < traffic.bytes_received < 110_000
    assert 0 < traffic.bytes_sent < 10_000
