"""The output of a program in a container, with a server that speaks the protocol of `exec`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace

import pytest
from aiohttp import web

from panal.kube.client import Client
from panal.kube.connection import Connection
from panal.kube.errors import Forbidden, Unavailable
from panal.kube.execution import PROTOCOL, ProgramFailed

from .test_connection import kubeconfig

SUCCESS = b"\x03" + json.dumps({"status": "Success"}).encode()
FAILURE = (
    b"\x03" + json.dumps({"status": "Failure", "message": "command terminated with exit code 1", "reason": "NonZeroExitCode"}).encode()
)


@pytest.fixture
async def server() -> AsyncIterator[SimpleNamespace]:
    """Sends the `messages` that a test sets; without any it refuses. `asked` is the last request."""
    found = SimpleNamespace(messages=None, asked=None, address="")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        found.asked = request.path_qs, request.headers.get("Authorization")
        if found.messages is None:
            return web.json_response({"kind": "Status", "message": "no", "reason": "Forbidden", "code": 403}, status=403)
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        for message in found.messages:
            await socket.send_bytes(message)
        await socket.close()
        return socket

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def output(server: SimpleNamespace, tmp_path, messages: Sequence[bytes] | None) -> bytes:
    server.messages = messages
    async with Client(Connection.open(kubeconfig(tmp_path, server.address, {"token": "secret"}), 10)) as client:
        return b"".join([piece async for piece in client.execute("ns", "pod", "main", ["cat", "a b"])])


async def test_the_output_of_a_program_is_what_it_writes(server, tmp_path):
    assert await output(server, tmp_path, [b"\x01", b"\x02a warning", b"\x01abc", b"\x01" + bytes(100_000), SUCCESS]) == b"abc" + bytes(
        100_000
    )
    path, credentials = server.asked
    assert path == "/api/v1/namespaces/ns/pods/pod/exec?container=main&stdout=true&stderr=true&command=cat&command=a+b"
    assert credentials == "Bearer secret"


async def test_a_program_that_fails_is_named_by_its_errors(server, tmp_path):
    with pytest.raises(ProgramFailed, match=r"^the storage has no x$"):
        await output(server, tmp_path, [b"\x02the storage ", b"\x02has no x\n", FAILURE])
    with pytest.raises(ProgramFailed, match="exit code 1"):
        await output(server, tmp_path, [FAILURE])


async def test_an_output_that_is_cut_off_is_an_error(server, tmp_path):
    with pytest.raises(Unavailable, match="lost"):
        await output(server, tmp_path, [b"\x01abc"])


async def test_a_server_that_refuses_is_named(server, tmp_path):
    with pytest.raises(Forbidden, match="pods/pod/exec"):
        await output(server, tmp_path, None)
