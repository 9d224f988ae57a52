"""What a cluster of the run may ask: POST on the runtime's client paths. Any other spelling, method or trick is refused before the
runtime sees a byte of it, by name. The client is one that sends what no library would."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateways import RUN, Hub, Runtime, Spoke, post
from panal.api import names
from raw_http2 import DATA, END_HEADERS, END_STREAM, HEADERS, Fields, frame, literal, message, opening, request_fields, talk, tls_context

PASSES = ["/v1/fleet/pull-messages", "/v1/fleet/", "/v1/fleet/a?x=1", "/v1/control/../fleet/x"]
REFUSED = [
    "/", "*", "/v1/fleet", "/v1/control/start-run", "/v1/runtime/acquire-task", "/health", "/ready",
    "/V1/FLEET/x", "//v1/fleet/x", "/v1//fleet/x",
    "/v1/fleet/../control/start-run", "/v1/fleet/%2e%2e/control/start-run", "/v1/fleet/%2E%2E/control/x", "/v1/fleet/..%2fcontrol/x",
    "/v1/fleet/%2e%2e%2fcontrol/x", "/v1/fleet/..%5ccontrol/x", "/v1/fleet/..\\control\\x", "/v1/fleet/x/../../control/x",
    "/v1/fleet%2fx", "/v1/fleet/%00", "/v1/fleet/\0", "/v1/fleet/x#/../../control/x", "http://127.0.0.1:8000/v1/control/x", "",
    "/v1/fleet;/../control/x", "/v1/./control/x", "/%76%31/control/x",
]  # fmt: skip

SMUGGLED: dict[str, Fields] = {
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "close")],
    "upgrade": [("upgrade", "h2c")],
    "two lengths": [("content-length", "1"), ("content-length", "20")],
    "a length too long": [("content-length", "20")],
    "a length that is none": [("content-length", "+1")],
    "line break in a value": [("x-a", "b\r\nx-panal-cluster: c2")],
    "line break in a name": [("x-a\r\nx-b", "c")],
    "colon in a name": [("x-a:b", "c")],
    "capitals in a name": [("X-Panal-Cluster", "c2")],
    "underscores in a name": [("x_panal_cluster", "c2")],
    "NUL in a value": [("x-a", b"b\0c")],
    "a pseudo header late": [("x-a", "b"), (":path", "/v1/control/x")],
    "a path twice": [(":path", "/v1/control/x")],
    "an unknown pseudo header": [(":protocol", "websocket")],
}


@pytest.fixture
def ask(hub: Hub, runtime: Runtime) -> Callable[[bytes], str]:
    context = tls_context(hub.collaborators.collaborator("c1"), [names.protocol(RUN, "c1"), "h2"])

    def send(sent: bytes) -> str:
        runtime.reached.clear()
        return talk(hub.port, opening() + sent, context)

    return send


def refused(hub: Hub, runtime: Runtime, before: int, came: str) -> dict[str, object]:
    """That nothing came through, and the line that tells of it."""
    assert came in ("reset", "closed") or 400 <= int(came) < 500, came
    said = hub.envoy.refusal(before, chain="c1", certificate=names.cluster_uri("c1"))
    assert said.get("reason") or said.get("details") or said["flags"] == "DPE", said
    assert not runtime.reached
    return said


@pytest.mark.parametrize("path", PASSES)
def test_a_post_on_a_client_path_reaches_the_runtime(ask: Callable[[bytes], str], runtime: Runtime, path: str) -> None:
    body = b"x" * 15_000
    assert ask(message(request_fields(path), body)) == "200"
    [(reached, headers, came)] = runtime.reached
    assert reached.startswith("/v1/fleet/")
    assert headers[names.CLUSTER_HEADER] == "c1"
    assert came == body


@pytest.mark.parametrize("path", REFUSED)
def test_no_spelling_of_another_path_reaches_the_runtime(hub: Hub, runtime: Runtime, ask: Callable[[bytes], str], path: str) -> None:
    before = len(hub.envoy.refusals)
    refused(hub, runtime, before, ask(message(request_fields(path), b"x")))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "post", "POST "])
def test_only_post_passes(hub: Hub, runtime: Runtime, ask: Callable[[bytes], str], method: str) -> None:
    before = len(hub.envoy.refusals)
    refused(hub, runtime, before, ask(message(request_fields(method=method))))


@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_is_smuggled_into_the_runtimes_connection(hub: Hub, runtime: Runtime, ask: Callable[[bytes], str], name: str) -> None:
    before = len(hub.envoy.refusals)
    refused(hub, runtime, before, ask(message(request_fields(extra=SMUGGLED[name]), b"x")))


def test_a_body_that_looks_like_a_request_stays_a_body(ask: Callable[[bytes], str], runtime: Runtime) -> None:
    body = b"0\r\n\r\nPOST /v1/control/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    assert ask(message(request_fields(), body)) == "200"
    assert [(path, came) for path, _, came in runtime.reached] == [("/v1/fleet/x", body)]


def test_a_body_beyond_its_length_is_not_the_next_request(hub: Hub, runtime: Runtime, ask: Callable[[bytes], str]) -> None:
    """The head alone may have reached the runtime by then, which is a request that the cluster may send."""
    before = len(hub.envoy.refusals)
    body = b"POST /v1/control/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    assert ask(message(request_fields(extra=[("content-length", "0")]), body)) in ("reset", "200")
    hub.envoy.refusal(before, chain="c1", flags="DPE")
    assert {(path, came) for path, _, came in runtime.reached} <= {("/v1/fleet/x", b"")}


def test_a_trailer_does_not_become_a_header(ask: Callable[[bytes], str], runtime: Runtime) -> None:
    head = frame(HEADERS, END_HEADERS, 1, literal(request_fields(extra=[("content-length", "1")])))
    trailer = frame(HEADERS, END_HEADERS | END_STREAM, 1, literal([(names.CLUSTER_HEADER, "c2")]))
    assert ask(head + frame(DATA, 0, 1, b"x") + trailer) == "200"
    [(_, headers, body)] = runtime.reached
    assert (headers[names.CLUSTER_HEADER], body) == ("c1", b"x")


def test_a_collaborator_sets_neither_its_name_nor_headers_of_a_proxy(ask: Callable[[bytes], str], runtime: Runtime) -> None:
    forged = {
        names.CLUSTER_HEADER: "c2", "x-forwarded-for": "10.0.0.1", "x-forwarded-host": "evil", "x-forwarded-proto": "http",
        "forwarded": "for=1",
        "x-forwarded-client-cert": "URI=spiffe://fl.panal/cluster/c2", "x-real-ip": "10.0.0.1", "x-envoy-original-path": "/v1/control/x",
        "x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx",
        "x-envoy-external-address": "10.0.0.1", "x-envoy-internal": "true",
    }  # fmt: skip
    assert ask(message(request_fields(extra=[*forged.items(), (names.CLUSTER_HEADER, "c3")]), b"x")) == "200"
    [(_, headers, _)] = runtime.reached
    assert headers[names.CLUSTER_HEADER] == "c1"
    kept = {name: headers[name] for name in forged if name in headers and name != names.CLUSTER_HEADER}
    assert kept == {"x-envoy-external-address": "127.0.0.1"}, kept


def test_a_refusal_names_path_and_cluster_without_the_query(hub: Hub, runtime: Runtime, ask: Callable[[bytes], str]) -> None:
    before = len(hub.envoy.refusals)
    said = refused(hub, runtime, before, ask(message(request_fields("/v1/control/x?token=secret"), b"x")))
    assert (said["refused"], said["path"], said["method"], said["status"], said["reason"]) == (
        "request", "/v1/control/x", "POST", 404, "route_not_found",
    )  # fmt: skip
    assert "secret" not in hub.envoy.said


def test_success_is_not_logged(hub: Hub, ask: Callable[[bytes], str], runtime: Runtime) -> None:
    before = len(hub.envoy.refusals)
    for _ in range(5):
        assert ask(message(request_fields(), b"x")) == "200"
    refused(hub, runtime, before, ask(message(request_fields("/last"), b"x")))
    assert len(hub.envoy.refusals) == before + 1


def test_through_a_collaborators_gateway_too(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke]) -> None:
    """It lets everything through as it is, and the runtime at the site hears the refusal."""
    one = spoke(hub, "c1")
    for path in ("/v1/control/start-run", "/v1/fleet/../control/x", "/v1/fleet/%2e%2e/control/x", "/v1/fleet/..%2fcontrol/x"):
        runtime.reached.clear()
        before = len(hub.envoy.refusals)
        refused(hub, runtime, before, str(post(one.port, path).status))
    assert post(one.port, "/v1/fleet/x?a=b", b"y", x_panal_cluster="c2").body == b"c1"
    assert [(path, body) for path, _, body in runtime.reached] == [("/v1/fleet/x?a=b", b"y")]
