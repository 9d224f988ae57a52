"""What connections to the metrics can cost, with sockets and TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from panal.hub.listener import Limits
from panal.hub.scrape.exposition import Exposition
from panal.hub.scrape.readers import Readers
from panal.hub.server import Protected, served
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.kube.serving import self_signed
from processes import free_port

SOON = 20.0  # seconds; only what fails takes so long
LONG = 600.0
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NoReviews:
    async def create(self, obj: Object, kind: Kind | None = None) -> Object:
        raise AssertionError("no token is sent")


@asynccontextmanager
async def metrics(limits: Limits) -> AsyncIterator[int]:
    port = free_port()
    protected = Protected(port, self_signed("panal-metrics.panal-system.svc", datetime.now(UTC)), Readers(NoReviews()), limits)
    async with served(free_port(), list, Exposition(lambda: None), protected):
        yield port


async def plain(port: int, address: str = "") -> Ends:
    """Does not begin the handshake. Only another `address` is bound: a bound port is of those that `free_port` takes from."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0) if address else None)


async def secure(port: int, address: str = "") -> Ends:
    trusting = ssl._create_unverified_context()
    return await asyncio.open_connection("127.0.0.1", port, ssl=trusting, local_addr=(address, 0) if address else None)


async def answered(ends: Ends) -> bytes:
    """All that comes until the server closes the connection."""
    reader, writer = ends
    writer.write(REQUEST)
    try:
        async with asyncio.timeout(SOON):
            return await reader.read()
    finally:
        writer.transport.abort()


async def closed(ends: Ends) -> None:
    """By the server, without a word."""
    try:
        async with asyncio.timeout(SOON):
            with suppress(ConnectionError):
                assert await ends[0].read() == b""
    finally:
        ends[1].transport.abort()


@pytest.mark.parametrize("connect", [plain, secure])
async def test_further_connections_are_closed_until_one_has_ended(connect) -> None:
    async with metrics(Limits(most=3, each=3, seconds=LONG)) as port:
        held = [await connect(port) for _ in range(3)]
        await closed(await plain(port))
        await closed(await plain(port, "127.0.0.2"))
        held[0][1].transport.abort()
        async with asyncio.timeout(SOON):
            while not (answer := await tried(port)):
                await asyncio.sleep(0.01)
        assert answer.startswith(b"HTTP/1.1 401")
        for _, writer in held[1:]:
            writer.transport.abort()


async def tried(port: int) -> bytes:
    try:
        return await answered(await secure(port))
    except OSError:
        return b""


async def test_one_address_does_not_take_the_connections_of_another() -> None:
    async with metrics(Limits(most=10, each=2, seconds=LONG)) as port:
        held = [await plain(port) for _ in range(2)]
        await closed(await plain(port))
        assert (await answered(await secure(port, "127.0.0.2"))).startswith(b"HTTP/1.1 401")
        for _, writer in held:
            writer.transport.abort()


@pytest.mark.parametrize(("connect", "sent"), [(plain, b""), (plain, b"\x16\x03"), (secure, b""), (secure, REQUEST[:-2])])
async def test_a_connection_without_a_complete_request_is_ended(connect, sent) -> None:
    async with metrics(Limits(most=1, each=1, seconds=0.5)) as port:
        ends = await connect(port)
        ends[1].write(sent)
        await closed(ends)
        async with asyncio.timeout(SOON):
            while not await tried(port):
                await asyncio.sleep(0.01)


async def test_a_connection_is_for_one_request() -> None:
    async with metrics(Limits(seconds=LONG)) as port:
        for _ in range(20):
            answer = await answered(await secure(port))
            assert (answer.count(b"HTTP/1.1"), b"Connection: close" in answer) == (1, True)


async def test_it_listens_by_both_families() -> None:
    async with metrics(Limits()) as port:
        for address in ("127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])):
            pem = await asyncio.to_thread(ssl.get_server_certificate, (address, port))
            assert pem.startswith("-----BEGIN CERTIFICATE")
