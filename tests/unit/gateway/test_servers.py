"""To whom a collaborator's gateway talks: to its run's aggregator alone, whatever answers at the address. Nothing of a request is sent
before that is proven, and a line of the log says why it was not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certificates import CLIENT_AUTH, SERVER_AUTH, Authority, Pair, authority
from gateways import LOOPBACK, RUN, SERVER, Hub, Spoke, post
from panal.api import names

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Impostor:
    name: str
    reason: str  # in the log
    pair: Callable[[Hub], Pair | None] = lambda hub: hub.servers.server(SERVER)
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3


IMPOSTORS = [
    Impostor("another authority", "VERIFY_FAILED", lambda _: authority("x").server(SERVER)),
    Impostor("another authority of the same name", "VERIFY_FAILED", lambda _: authority("servers").server(SERVER)),
    Impostor("a collaborator", "VERIFY_FAILED", lambda hub: hub.collaborators.collaborator("c2")),
    Impostor(
        "the authority of collaborators",
        "VERIFY_FAILED",
        lambda hub: hub.collaborators.issue("x", x509.DNSName(SERVER), usages=[SERVER_AUTH, CLIENT_AUTH]),
    ),
    Impostor("signed by a collaborator", "VERIFY_FAILED", lambda hub: _by_a_collaborator(hub)),
    Impostor("for clients alone", "purpose", lambda hub: hub.servers.issue("x", x509.DNSName(SERVER), usages=[CLIENT_AUTH])),
    Impostor("another run", "SAN_matcher", lambda hub: hub.servers.server(names.server_name("other", "team"))),
    Impostor("the same run of another namespace", "SAN_matcher", lambda hub: hub.servers.server(names.server_name("run", "other"))),
    Impostor("the name as subject alone", "SAN_matcher", lambda hub: hub.servers.issue(SERVER, usages=[SERVER_AUTH])),
    Impostor("expired", "has_expired", lambda hub: hub.servers.server(SERVER, begins=-2 * HOUR, ends=-HOUR)),
    Impostor("not yet valid", "not_yet_valid", lambda hub: hub.servers.server(SERVER, begins=HOUR, ends=2 * HOUR)),
    Impostor("TLS 1.2", "TLS_error", newest=ssl.TLSVersion.TLSv1_2),
    Impostor("plain text", "TLS_error", lambda _: None),
]


def _by_a_collaborator(hub: Hub) -> Pair:
    own = hub.collaborators.collaborator("c2")
    return Authority(own.x509, own.private).server(SERVER)


@contextlib.contextmanager
def listening(pair: Pair | None, newest: ssl.TLSVersion) -> Iterator[tuple[int, list[bytes]]]:
    """A server with this certificate (None: without TLS), and what it was sent."""
    heard: list[bytes] = []
    context = None
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = newest
        with tempfile.TemporaryDirectory() as folder:
            (file := Path(folder) / "pem").write_bytes(pair.key + pair.certificate)
            context.load_cert_chain(file)
        context.set_alpn_protocols(["h2"])

    def serve() -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            plain.settimeout(5)
            try:
                with context.wrap_socket(plain, server_side=True) if context else plain as connection:
                    heard.append(connection.recv(1000))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                plain.close()

    with socket.create_server((LOOPBACK, 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@pytest.mark.parametrize("impostor", IMPOSTORS, ids=lambda i: i.name)
def test_an_impostor_is_refused_and_the_reason_logged(hub: Hub, spoke: Callable[..., Spoke], impostor: Impostor) -> None:
    with listening(impostor.pair(hub), impostor.newest) as (port, heard):
        one = spoke(hub, "c1", address=(LOOPBACK, port))
        assert post(one.port, body=b"a model").status == 503
        said = one.envoy.refusal(refused="request", reason=impostor.reason)
        assert (said["protocol"], said["expected"], said["path"]) == (names.protocol(RUN, "c1"), SERVER, "/v1/fleet/x")
    assert not any(b"model" in data or b"PRI" in data for data in heard)


def test_the_real_one_is_known_by_its_name_whatever_the_address(hub: Hub, spoke: Callable[..., Spoke]) -> None:
    for address, sni in [((LOOPBACK, hub.port), SERVER), (("localhost", hub.port), "localhost")]:
        one = spoke(hub, "c1", address=address, sni=sni)
        assert post(one.port).body == b"c1"


def test_the_name_it_dials_is_sent(hub: Hub, spoke: Callable[..., Spoke]) -> None:
    """So that a router by SNI finds the way."""
    before = len(hub.envoy.refusals)
    one = spoke(hub, "c9", sni="fl.example.org")
    assert post(one.port).status == 503
    assert hub.envoy.refusal(before, certificate=names.cluster_uri("c9"))["server_name"] == "fl.example.org"
