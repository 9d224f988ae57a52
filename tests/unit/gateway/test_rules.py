"""Rules of other runtimes than Flower: further methods, bodies that declare no length, and a server of HTTP/2, as gRPC has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded

from gateways import LOOPBACK, RUN, SITES_SECRET, Background, Hub, Spoke
from panal.api import names
from raw_http2 import DATA, END_HEADERS, END_STREAM, HEADERS, frame, literal, message, opening, request_fields, talk, tls_context


@dataclass
class Http2Server:
    """It remembers what reached it, and answers 200."""

    background: Background
    port: int = 0
    reached: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def start(self) -> None:
        self.server = self.background.run(asyncio.start_server(self._serve, LOOPBACK, 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.background.loop.call_soon_threadsafe(self.server.close)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        requests: dict[int, tuple[dict[str, str], list[bytes]]] = {}
        writer.write(connection.data_to_send())
        try:
            while data := await reader.read(1 << 16):
                for event in connection.receive_data(data):
                    self._take(connection, requests, event)
                writer.write(connection.data_to_send())
        finally:
            writer.close()

    def _take(self, connection: H2Connection, requests: dict[int, tuple[dict[str, str], list[bytes]]], event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=headers):
                requests[stream] = ({str(k): str(v) for k, v in headers or ()}, [])
            case DataReceived(stream_id=int(stream), data=bytes(data)):
                requests[stream][1].append(data)
                connection.acknowledge_received_data(len(data), stream)
            case StreamEnded(stream_id=int(stream)):
                headers, body = requests.pop(stream)
                self.reached.append((f"{headers[':method']} {headers[':path']}", headers, b"".join(body)))
                connection.send_headers(stream, [(":status", "200")], end_stream=True)


@pytest.fixture(scope="module")
def server(background: Background) -> Iterator[Http2Server]:
    found = Http2Server(background)
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def grpc_hub(server: Http2Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    found = Hub(tmp_path_factory.mktemp("hub"), server.port, largest_request=None, methods=("GET", "POST"), protocol="HTTP/2")
    try:
        found.start("c1")
        yield found
    finally:
        found.envoy.stop()


def stream(secret: str) -> bytes:
    """A request whose body has no declared length and comes in two pieces."""
    head = frame(HEADERS, END_HEADERS, 1, literal(request_fields(extra=[(names.POD_HEADER, secret)])))
    return head + frame(DATA, 0, 1, b"a" * 1000) + frame(DATA, END_STREAM, 1, b"b" * 1000)


def test_a_body_without_a_length_passes_both_gateways(grpc_hub: Hub, server: Http2Server, spoke: Callable[..., Spoke]) -> None:
    one = spoke(grpc_hub, "c1")
    server.reached.clear()
    assert talk(one.port, opening() + stream(SITES_SECRET)) == "200"
    [(asked, headers, body)] = server.reached
    assert (asked, headers[names.CLUSTER_HEADER], body) == ("POST /v1/fleet/x", "c1", b"a" * 1000 + b"b" * 1000)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/fleet/x", "200"), ("PUT", "/v1/fleet/x", "404"), ("GET", "/x", "404")])
def test_the_methods_and_paths_of_the_rules_pass(grpc_hub: Hub, server: Http2Server, method: str, path: str, status: str) -> None:
    server.reached.clear()
    context = tls_context(grpc_hub.collaborators.collaborator("c1"), [names.protocol(RUN, "c1"), "h2"])
    assert talk(grpc_hub.port, opening() + message(request_fields(path, method)), context) == status
    assert [asked for asked, _, _ in server.reached] == ([f"{method} {path}"] if status == "200" else [])
