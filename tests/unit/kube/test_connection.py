"""Credentials, from a kubeconfig to the header that an API server receives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from panal.kube.connection import Connection, Request
from panal.kube.errors import Unauthorized, Unavailable


@pytest.fixture
async def server():
    """Responds with the credentials and the target of the request; 401 to the token `old`."""

    async def answer(request: web.BaseRequest) -> web.Response:
        given = request.headers.get("Authorization", "")
        proxy = request.headers.get("Proxy-Authorization", "")
        found = {"given": given, "target": request.raw_path} | ({"proxy": proxy} if proxy else {})
        return web.json_response(found, status=401 if given == "Bearer old" else 200)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def kubeconfig(folder: Path, server: str, user: dict[str, object]) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1", "v1"])
async def test_credential_plugins_of_every_version_are_used(server, tmp_path, version):
    api = f"client.authentication.k8s.io/{version}"
    print_token = f'import json; print(json.dumps({{"apiVersion": "{api}", "kind": "ExecCredential", "status": {{"token": "secret"}}}}))'
    plugin = {"apiVersion": api, "command": sys.executable, "args": ["-c", print_token], "interactiveMode": "Never"}
    connection = Connection.open(kubeconfig(tmp_path, server, {"exec": plugin}), 10)
    assert (await connection.send(Request("get", "GET", "/")))["given"] == "Bearer secret"
    await connection.close()


@pytest.fixture
async def connected():
    """Opens connections, and closes them at the end."""
    opened: list[Connection] = []

    def connect(file: Path) -> Connection:
        opened.append(Connection.open(file, 10))
        return opened[-1]

    yield connect
    for each in opened:
        await each.close()


async def test_a_token_is_sent_unchanged(server, tmp_path, connected):
    connection = connected(kubeconfig(tmp_path, server, {"token": "mine"}))
    assert (await connection.send(Request("get", "GET", "/")))["given"] == "Bearer mine"


async def test_a_token_that_was_rotated_is_read_again(server, tmp_path, connected):
    (tmp_path / "token").write_text("old")
    connection = connected(kubeconfig(tmp_path, server, {"tokenFile": str(tmp_path / "token")}))
    with pytest.raises(Unauthorized):
        await connection.send(Request("get", "GET", "/"))
    (tmp_path / "token").write_text("new")
    assert (await connection.send(Request("get", "GET", "/")))["given"] == "Bearer new"


async def test_the_path_of_the_servers_address_is_kept(server, tmp_path, connected):
    connection = connected(kubeconfig(tmp_path, f"{server}/k8s/clusters/c-1/", {"token": "mine"}))
    answer = await connection.send(Request("list", "GET", "/api/v1/pods", {"labelSelector": "a in (b,c),d=e%2F"}))
    assert answer["target"] == "/k8s/clusters/c-1/api/v1/pods?labelSelector=a+in+%28b%2Cc%29%2Cd%3De%252F"


async def test_the_proxy_of_the_environment_is_used(server, tmp_path, connected, monkeypatch):
    monkeypatch.setenv("http_proxy", server.replace("http://", "http://me:pass@"))
    monkeypatch.setenv("no_proxy", "other.example.com")
    connection = connected(kubeconfig(tmp_path, "http://hub.example.com:6443", {"token": "mine"}))
    answer = await connection.send(Request("get", "GET", "/version"))
    assert answer == {"given": "Bearer mine", "target": "http://hub.example.com:6443/version", "proxy": "Basic bWU6cGFzcw=="}


async def test_no_proxy_is_used_for_loopback_and_for_excluded_hosts(server, tmp_path, connected, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert (await connected(kubeconfig(tmp_path, server, {"token": "mine"})).send(Request("get", "GET", "/")))["target"] == "/"
    monkeypatch.setenv("no_proxy", ".example.com")
    with pytest.raises(Unavailable, match=r"hub\.example\.com"):
        await connected(kubeconfig(tmp_path, "http://hub.example.com:6443", {"token": "mine"})).send(Request("get", "GET", "/"))
