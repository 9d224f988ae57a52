"""Credentials, from a kubeconfig to the header that an API server receives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from panal.kube.connection import Connection, Request


@pytest.fixture
async def server():
    """Responds with the credentials of the request."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response({"given": request.headers.get("Authorization", "")})

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
    assert await connection.send(Request("get", "GET", "/")) == {"given": "Bearer secret"}
    await connection.close()


async def test_a_token_is_sent_unchanged(server, tmp_path):
    connection = Connection.open(kubeconfig(tmp_path, server, {"token": "mine"}), 10)
    assert await connection.send(Request("get", "GET", "/")) == {"given": "Bearer mine"}
    await connection.close()
