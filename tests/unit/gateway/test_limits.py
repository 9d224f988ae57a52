"""What one cluster may take of the aggregator's gateway: past it the gateway refuses, and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest

from gateways import LOOPBACK, RUN, SITES_SECRET, Hub, Json, Load, Runtime, Spoke, post, wait_for, write
from panal.api import names
from panal.api.names import ClusterName
from panal.gateway import limits
from raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Answers,
    connect,
    frame,
    headers_in_pieces,
    literal,
    message,
    opening,
    request_fields,
    talk,
    tls_context,
)

C1 = ClusterName("c1")
REQUEST = opening() + message(request_fields(), b"x")


def context(hub: Hub, cluster: str = "c1") -> ssl.SSLContext:
    return tls_context(hub.collaborators.collaborator(cluster), [names.protocol(RUN, cluster), "h2"])


def beginning(stream: int = 1, length: int = 10) -> bytes:
    """Of a request: its body does not come."""
    return frame(HEADERS, END_HEADERS, stream, literal(request_fields(extra=[("content-length", str(length))])))


def refused(came: str) -> bool:
    """Before a request was looked at."""
    return came == "closed" or came.startswith("tls: ")


@contextlib.contextmanager
def dialled(hub: Hub, ssl_context: ssl.SSLContext, number: int = 1) -> Iterator[list[ssl.SSLSocket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(hub.port, ssl_context)) for _ in range(number)]


def changed(hub: Hub, old: str, new: str, *clusters: str) -> None:
    """The gateway with another limit."""
    text = json.dumps(hub.files(*clusters)["lds.json"])
    assert old in text
    write(hub.folder, {"lds.json": text.replace(old, new).encode()})
    wait_for("the change", lambda: "listener_manager.listener_modified: 1" in hub.admin("GET", "/stats?filter=listener_modified")[1])


# --- bodies ------------------------------------------------------------------------------------------------------
def test_the_largest_body_gets_through_with_its_length(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke]) -> None:
    one = spoke(hub, "c1")
    runtime.reached.clear()
    assert post(one.port, body=b"m" * hub.largest_request).status == 200
    [(_, headers, body)] = runtime.reached
    assert headers["content-length"] == str(len(body)) == str(hub.largest_request)


def test_a_larger_one_is_refused_before_the_runtime_hears_of_it(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke]) -> None:
    one = spoke(hub, "c1")
    runtime.reached.clear()
    before = len(hub.envoy.refusals)
    for length in (hub.largest_request + 1, 1 << 62):
        assert talk(hub.port, opening() + beginning(length=length), context(hub)) == "413"
        hub.envoy.refusal(before, chain="c1", certificate=names.cluster_uri("c1"), status="413")
    # Without the body: the answer comes before it, and the end of the connection would meet a client that still sends.
    assert post(one.port, body=b"", Content_Length=str(hub.largest_request + 1)).status == 413
    assert not runtime.reached


def test_a_body_without_a_length_is_refused(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke]) -> None:
    one = spoke(hub, "c1")
    runtime.reached.clear()
    before = len(hub.envoy.refusals)
    connection = HTTPConnection(LOOPBACK, one.port, timeout=20)
    connection.request("POST", "/v1/fleet/x", body=iter([b"x" * 10]), headers={names.POD_HEADER: SITES_SECRET}, encode_chunked=True)
    assert connection.getresponse().status == 411
    connection.close()
    hub.envoy.refusal(before, chain="c1", status="411")
    assert not runtime.reached


@pytest.mark.parametrize("body", [b"x" * 9, b"x" * 11], ids=["shorter", "longer"])
def test_a_body_is_as_long_as_it_says(hub: Hub, body: bytes) -> None:
    before = len(hub.envoy.refusals)
    assert talk(hub.port, opening() + beginning(length=10) + frame(DATA, END_STREAM, 1, body), context(hub)) in ("reset", "closed")
    hub.envoy.refusal(before, chain="c1", flags="DPE")


def test_a_body_that_does_not_come_is_not_waited_for_without_end(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    changed(own_hub, f'"request_timeout": "{limits.WHOLE_REQUEST}"', '"request_timeout": "0.5s"', "c1", "c2")
    other = spoke(own_hub, "c2")
    with dialled(own_hub, context(own_hub)) as [stalled]:
        stalled.sendall(opening() + beginning())
        assert post(other.port).status == 200
        assert Answers(stalled).of(1) == "408"
    own_hub.envoy.refusal(chain="c1", status="408")


# --- headers -----------------------------------------------------------------------------------------------------
HEADERS_BEYOND = {
    "too many": headers_in_pieces(request_fields(extra=[(f"x-{n}", "y") for n in range(150)])),
    "without end": headers_in_pieces(request_fields(extra=[(f"x-{n}", "y" * 1000) for n in range(90)])),
    "one without end": headers_in_pieces(request_fields(extra=[("x-a", "y" * 100_000)])),
    "a frame beyond HTTP/2's limit": message(request_fields(extra=[("x-a", "y" * 17_000)])),
}


@pytest.mark.parametrize("sent", HEADERS_BEYOND.values(), ids=HEADERS_BEYOND)
def test_headers_beyond_a_limit_are_refused_and_the_log_tells_whose(hub: Hub, runtime: Runtime, sent: bytes) -> None:
    runtime.reached.clear()
    before = len(hub.envoy.refusals)
    assert talk(hub.port, opening() + sent, context(hub)) in ("431", "reset", "closed")
    said = hub.envoy.refusal(before, chain="c1", certificate=names.cluster_uri("c1"))
    assert said["flags"] == "DPE" or said["reason"].startswith("http2."), said
    assert not runtime.reached


# --- at a time ---------------------------------------------------------------------------------------------------
def test_a_connection_has_so_many_streams(hub: Hub) -> None:
    with dialled(hub, context(hub)) as [connection]:
        connection.sendall(opening() + b"".join(beginning(1 + 2 * n) for n in range(limits.STREAMS + 1)))
        assert Answers(connection).of(1 + 2 * limits.STREAMS) == "reset"


@contextlib.contextmanager
def all_places_taken(hub: Hub) -> Iterator[None]:
    """By requests of c1 whose bodies do not come; half as many more are refused, so no place is left."""
    before = hub.stats()[C1].refused
    with dialled(hub, context(hub), limits.REQUESTS // limits.STREAMS + 1) as held:
        for connection in held:
            connection.sendall(opening() + b"".join(beginning(1 + 2 * n) for n in range(limits.STREAMS)))
        wait_for("the limit", lambda: hub.stats()[C1].refused == before + limits.STREAMS)
        yield


def test_a_cluster_has_so_many_requests_at_a_time_over_all_its_connections(hub: Hub, spoke: Callable[..., Spoke]) -> None:
    one, other = spoke(hub, "c1"), spoke(hub, "c2")
    with Load(other.port) as load, all_places_taken(hub):
        assert post(one.port).status == 429
        load.goes_on()
    assert set(load.statuses) == {200}
    wait_for("its return", lambda: post(one.port).status == 200)


def test_a_flood_of_connections_of_one_cluster_ends_at_its_limit(hub: Hub, spoke: Callable[..., Spoke]) -> None:
    other = spoke(hub, "c2")
    with Load(other.port) as load:
        with dialled(hub, context(hub), limits.CONNECTIONS):
            assert refused(talk(hub.port, REQUEST, context(hub)))
            load.goes_on()
        wait_for("its return", lambda: talk(hub.port, REQUEST, context(hub)) == "200")
    assert set(load.statuses) == {200}


# --- lines -------------------------------------------------------------------------------------------------------
def of(hub: Hub, cluster: str) -> list[Json]:
    return [r for r in hub.envoy.refusals if r.get("chain") == cluster]


def another_is_heard(hub: Hub) -> None:
    """Lines leave Envoy in order, so all that came before are there as well."""
    assert talk(hub.port, opening() + message(request_fields("/other")), context(hub, "c2")) == "404"
    hub.envoy.refusal(chain="c2", path="/other")


def flood(hub: Hub, requests: int) -> None:
    """Requests that are refused, by c1."""
    path = "/v1/control/" + "x" * 5000
    with dialled(hub, context(hub)) as [connection]:
        connection.sendall(opening())
        answers = Answers(connection)
        for number in range(requests):
            connection.sendall(message(request_fields(path), stream=1 + 2 * number))
            assert answers.of(1 + 2 * number) in ("404", "429")


def test_a_flood_of_refusals_is_counted_and_leaves_few_lines_and_room_for_others(own_hub: Hub) -> None:
    flood(own_hub, 1000)
    another_is_heard(own_hub)
    assert own_hub.stats()[C1].refused == 1000
    assert len(of(own_hub, "c1")) < 200
    assert max(len(line) for line in own_hub.envoy.said.splitlines()) < 1000


def test_a_flood_of_failed_handshakes_leaves_few_lines(own_hub: Hub) -> None:
    for _ in range(600):
        with socket.create_connection((LOOPBACK, own_hub.port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert plain.recv(10) is not None
    another_is_heard(own_hub)
    assert 100 < len(of(own_hub, "strangers")) < 500
    assert own_hub.stats()[ClusterName("")].refused >= 600


def test_a_flood_beyond_the_requests_at_a_time_leaves_no_lines(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    """Statistics have them, and the site's log."""
    one = spoke(own_hub, "c1")
    with all_places_taken(own_hub):
        for _ in range(20):
            assert post(one.port).status == 429
        assert own_hub.stats()[C1].refused == limits.STREAMS + 20
        another_is_heard(own_hub)
        assert not of(own_hub, "c1")
    one.envoy.refusal(status="429")
