"""Who is in the middle of a handshake, or has just ended one, when its cluster leaves the run: closed like the
cluster's other connections, two seconds later."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

import pytest

from gateways import LOOPBACK, RUN, Hub, Runtime, wait_for
from panal.api import names
from raw_http2 import connect, message, opening, request_fields, talk, tls_context

REQUEST = opening() + message(request_fields(), b"x")


def context(hub: Hub) -> ssl.SSLContext:
    return tls_context(hub.collaborators.collaborator("c2"), [names.protocol(RUN, "c2"), "h2"])


class Handshake:
    """One that is done step by step."""

    def __init__(self, hub: Hub) -> None:
        self.plain = socket.create_connection((LOOPBACK, hub.port), timeout=10)
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(hub).wrap_bio(self.came, self.goes, server_hostname="aggregator.example")

    def begin(self) -> bytes:
        """Our first word, the server's answer, and what we would say to it, which is not sent."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.plain.sendall(self.goes.read())
        while True:
            self.came.write(self.plain.recv(1 << 16))
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            return self.goes.read()

    def request(self) -> bytes:
        self.tls.write(REQUEST)
        return self.goes.read()


def refused(came: str) -> bool:
    return came == "closed" or came.startswith("tls: ")


def remove(hub: Hub) -> None:
    """Until a new connection of the cluster is refused."""
    hub.let_in("c1")
    wait_for("its removal", lambda: refused(talk(hub.port, REQUEST, context(hub))))


def ends(plain: socket.socket) -> float:
    """The seconds until the other side has closed it."""
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while plain.recv(1 << 16):
            pass
    return time.monotonic() - began


def test_a_handshake_that_has_begun_is_ended_with_its_cluster(own_hub: Hub, runtime: Runtime) -> None:
    handshake = Handshake(own_hub)
    last = handshake.begin()
    remove(own_hub)
    runtime.reached.clear()
    assert ends(handshake.plain) < 5
    with contextlib.suppress(ConnectionError):
        handshake.plain.sendall(last + handshake.request())
    handshake.plain.close()
    assert refused(talk(own_hub.port, REQUEST, context(own_hub)))
    assert not runtime.reached


def test_one_that_is_ended_in_time_lives_no_longer_than_the_clusters_other_connections(own_hub: Hub) -> None:
    handshake = Handshake(own_hub)
    last = handshake.begin()
    remove(own_hub)
    handshake.plain.sendall(last + handshake.request())
    assert ends(handshake.plain) < 5
    handshake.plain.close()


def test_a_silent_connection_is_closed(own_hub: Hub, runtime: Runtime) -> None:
    with connect(own_hub.port, context(own_hub)) as silent:
        remove(own_hub)
        runtime.reached.clear()
        assert ends(silent) < 5
    assert not runtime.reached
