"""What the controller's process serves before it has reached an API server."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from certificates import authority
from memory_hub import SETTINGS
from panal.hub.main import run
from panal.hub.settings import Metrics
from panal.kube.serving import CertificateError
from processes import free_port

NAME = "panal-metrics.panal-system.svc"


def kubeconfig(folder: Path) -> str:
    """Of an API server that does not answer."""
    content = {
        "current-context": "hub",
        "clusters": [{"name": "hub", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "me"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(content))
    return str(folder / "kubeconfig")


@asynccontextmanager
async def serving(folder: Path, metrics: Metrics | None) -> AsyncIterator[int]:
    """The port of the probes."""
    port = free_port()
    process = asyncio.create_task(run(replace(SETTINGS, port=port, metrics=metrics), kubeconfig(folder)))
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as http:
            while (await asked(http, f"http://127.0.0.1:{port}/healthz"))[0] != 200:
                assert not process.done(), process.exception()
                await asyncio.sleep(0.02)
        yield port
    finally:
        process.cancel()
        await asyncio.gather(process, return_exceptions=True)


async def asked(http: aiohttp.ClientSession, url: str, token: str = "", tls: ssl.SSLContext | bool = True) -> tuple[int, str]:
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with http.get(url, headers=headers, ssl=tls, server_hostname=NAME if url.startswith("https") else None) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientError:
        return 0, ""


async def test_the_metrics_are_served_with_the_certificate_of_the_folder(tmp_path: Path) -> None:
    ca = authority("metrics")
    pair = ca.server(NAME)
    (tmp_path / "tls.crt").write_bytes(pair.certificate)
    (tmp_path / "tls.key").write_bytes(pair.key)
    metrics = Metrics(free_port(), tmp_path)
    url, trusting = f"https://127.0.0.1:{metrics.port}/metrics", ssl.create_default_context(cadata=ca.certificate.decode())
    async with serving(tmp_path, metrics) as port, aiohttp.ClientSession() as http:
        assert (await asked(http, url, tls=trusting))[0] == 401
        status, said = await asked(http, url, "a-token", trusting)
        assert (status, "did not review the token" in said) == (503, True)
        assert (await asked(http, f"http://127.0.0.1:{port}/metrics"))[0] == 404
        assert (await asked(http, f"http://127.0.0.1:{port}/readyz"))[0] == 503


async def test_without_authentication_they_are_at_the_port_of_the_probes(tmp_path: Path) -> None:
    async with serving(tmp_path, None) as port, aiohttp.ClientSession() as http:
        status, text = await asked(http, f"http://127.0.0.1:{port}/metrics")
        assert (status, "panal_leader 0.0" in text) == (200, True)


async def test_a_folder_without_a_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="PANAL_METRICS_TLS"):
        await run(replace(SETTINGS, port=free_port(), metrics=Metrics(free_port(), tmp_path)), kubeconfig(tmp_path))
