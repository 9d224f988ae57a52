"""Requests to programs behind the API server: what they answer is returned, whatever it is; what the API server refuses is raised."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from panal.kube import connection, kinds
from panal.kube.client import Client
from panal.kube.errors import Forbidden, Unavailable

CONFIG = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


@pytest.fixture
async def client(tmp_path):
    """`answer`: what the program behind the API server does with a request; `seen`: the requests."""
    seen = []

    async def handle(request):
        seen.append((request.method, request.path, request.headers.get("Content-Type"), await request.text()))
        return found.answer()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        clusters = [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}]
        (tmp_path / "config").write_text(json.dumps(CONFIG | {"clusters": clusters}))
        async with Client.from_kubeconfig(tmp_path / "config") as found:
            found.seen = seen
            yield found


async def test_the_answer_is_returned_as_it_is(client):
    client.answer = lambda: web.Response(status=418, body=b"\xff no JSON", headers={"Model-Digest": "sha256:1"})
    reply = await client.ask(kinds.SERVICE, "ns", "digits-predictor:80", "/v1/models/digits:predict", {"instances": [1]})
    assert (reply.status, reply.headers["model-digest"], reply.content) == (418, "sha256:1", b"\xff no JSON")
    path = "/api/v1/namespaces/ns/services/digits-predictor:80/proxy/v1/models/digits:predict"
    assert client.seen == [("POST", path, "application/json", '{"instances":[1]}')]


async def test_without_a_body_it_is_a_get(client):
    client.answer = lambda: web.Response(body=b"")
    assert (await client.ask(kinds.POD, "ns", "p:8080", "/v2/models/digits")).content == b""
    assert client.seen == [("GET", "/api/v1/namespaces/ns/pods/p:8080/proxy/v2/models/digits", None, "")]


async def test_a_refusal_of_the_api_server_is_an_error_and_that_of_a_program_is_not(client):
    client.answer = lambda: web.json_response({"kind": "Status", "message": "pods/proxy is forbidden"}, status=403)
    with pytest.raises(Forbidden, match="pods/proxy is forbidden"):
        await client.ask(kinds.POD, "ns", "p:8080", "/")
    client.answer = lambda: web.json_response({"error": "who are you?"}, status=403)
    assert (await client.ask(kinds.POD, "ns", "p:8080", "/")).status == 403


async def test_an_answer_without_an_end_is_an_error(client, monkeypatch):
    monkeypatch.setattr(connection, "LONGEST", 1000)
    client.answer = lambda: web.Response(body=b"x" * 1001)
    with pytest.raises(Unavailable, match="the response has more than"):
        await client.ask(kinds.POD, "ns", "p:8080", "/")
