"""Credentials, from a kubeconfig to the header that an API server receives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from panal.kube.connection import Connection, Request
from panal.kube.errors import ApiError, ConfigError, Unauthorized, Unavailable

REFUSED = "Basic bWU6c2VjcmV0"  # me:secret


@pytest.fixture
async def server():
    """Responds with the credentials and the target of the request; 401 to the token `old`."""

    async def answer(request: web.BaseRequest) -> web.Response:
        given = request.headers.get("Authorization", "")
        proxy = request.headers.get("Proxy-Authorization", "")
        found = {"given": given, "target": request.raw_path} | ({"proxy": proxy} if proxy else {})
        return web.json_response(found, status=407 if proxy == REFUSED else 401 if given == "Bearer old" else 200)

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


async def test_a_proxy_may_be_named_without_a_scheme(server, tmp_path, connected, monkeypatch):
    monkeypatch.setenv("http_proxy", server.removeprefix("http://"))
    connection = connected(kubeconfig(tmp_path, "http://hub.example.com:6443", {"token": "mine"}))
    assert (await connection.send(Request("get", "GET", "/version")))["target"] == "http://hub.example.com:6443/version"


@pytest.mark.parametrize("name", ["http", "https"])
async def test_no_error_has_the_password_of_the_proxy(server, tmp_path, connected, monkeypatch, name):
    monkeypatch.setenv(f"{name}_proxy", server.replace("http://", "http://me:secret@"))
    connection = connected(kubeconfig(tmp_path, f"{name}://hub.example.com:6443", {"token": "mine"}))
    with pytest.raises(ApiError) as error:
        await connection.send(Request("get", "GET", "/version"))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("proxy", ["socks5://me:secret@127.0.0.1:1080", "http://me:secret@127.0.0.1:port", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused(tmp_path, monkeypatch, proxy):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigError, match=r"https://hub\.example\.com is not the URL of an HTTP proxy") as error:
        Connection.open(kubeconfig(tmp_path, "https://hub.example.com:6443", {"token": "mine"}), 10)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("host", "excluded"), [("[fd00::1]", "fd00::1"), ("10.0.0.7", "10.0.0.7:6443"), ("a.b.example.com", "example.com")]
)
async def test_excluded_hosts_in_every_form(tmp_path, connected, monkeypatch, host, excluded):
    monkeypatch.setenv("http_proxy", "socks5://refused")
    monkeypatch.setenv("no_proxy", excluded)
    connected(kubeconfig(tmp_path, f"http://{host}:6443", {"token": "mine"}))


async def test_credentials_that_cannot_be_sent_are_not_shown(server, tmp_path, connected):
    with pytest.raises(Unauthorized, match="cannot be sent in HTTP") as error:
        await connected(kubeconfig(tmp_path, server, {"token": "sec\nret"})).send(Request("get", "GET", "/"))
    assert "ret" not in str(error.value)


async def test_the_user_in_an_address_gives_way_to_the_token(server, tmp_path, connected):
    connection = connected(kubeconfig(tmp_path, server.replace("http://", "http://me:secret@"), {"token": "mine"}))
    assert (await connection.send(Request("get", "GET", "/")))["given"] == "Bearer mine"


async def test_a_request_is_sent_once_if_the_connection_is_lost(tmp_path, connected):
    """On a connection that has served another request, aiohttp by itself sends a DELETE again."""
    received = []

    async def answer(request: web.BaseRequest) -> web.Response:
        received.append(request.method)
        if request.method == "DELETE" and request.transport:
            request.transport.close()
        return web.json_response({})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connection = connected(kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}", {"token": "mine"}))
    await connection.send(Request("get", "GET", "/"))
    with pytest.raises(Unavailable):
        await connection.send(Request("delete", "DELETE", "/"))
    await runner.cleanup()
    assert received == ["GET", "DELETE"]


async def test_no_proxy_is_used_for_loopback_and_for_excluded_hosts(server, tmp_path, connected, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert (await connected(kubeconfig(tmp_path, server, {"token": "mine"})).send(Request("get", "GET", "/")))["target"] == "/"
    monkeypatch.setenv("no_proxy", ".example.com")
    with pytest.raises(Unavailable, match=r"hub\.example\.com"):
        await connected(kubeconfig(tmp_path, "http://hub.example.com:6443", {"token": "mine"})).send(Request("get", "GET", "/"))
