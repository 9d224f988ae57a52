"""The dashboard behind a real oauth2-proxy (`make test-oauth2-proxy` builds it), which signs people in at an OpenID Connect provider.

The proxy passes on either the access token, as OpenShift's OAuth proxy does, or the ID token, for API servers that accept the provider's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from dashboards import everything, run
from guarded_api import GuardedApi, Right, reading
from guarded_api import served as served_api
from oidc_provider import CLIENT, SECRET, Provider, provided
from panal.api import names
from panal.dashboard.main import on_hub
from panal.dashboard.settings import Settings
from panal.kube.client import Client
from processes import free_port

ROOT = Path(__file__).parents[2]
LISTS = reading(names.PLURAL, "managedclusters", "managedclusteraddons", "addonplacementscores", "placementdecisions")
OWN = reading(names.PLURAL, "configmaps", "events", "pods", namespace="ns") | {Right("patch", names.PLURAL, "ns")}
ACCESS, ID = ("--pass-access-token",), ("--pass-authorization-header",)


def program() -> str:
    found = Path(os.environ.get("PANAL_OAUTH2_PROXY") or ROOT / ".cache/oauth2-proxy")
    if not found.is_file():
        pytest.fail(f"no proxy {found}: run `make test-oauth2-proxy`, which builds it with Go, or set PANAL_OAUTH2_PROXY")
    return str(found)


@asynccontextmanager
async def proxied(folder: Path, upstream: int, provider: Provider, *options: str) -> AsyncIterator[str]:
    """The address of a proxy in front of the port `upstream`."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    config = {
        "provider": "oidc",
        "oidc-issuer-url": provider.url,
        "client-id": CLIENT,
        "client-secret": SECRET,
        "code-challenge-method": "S256",
        "redirect-url": f"{address}/oauth2/callback",
        "cookie-secret": secrets.token_hex(16),
        "cookie-secure": "false",  # over HTTP, in this test alone
        "email-domain": "*",
        "skip-provider-button": "true",
        "http-address": f"127.0.0.1:{port}",
        "upstream": f"http://127.0.0.1:{upstream}",
    }
    with (folder / "proxy.log").open("wb") as log:
        words = [f"--{name}={value}" for name, value in config.items()]
        process = await asyncio.create_subprocess_exec(program(), *words, *options, stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession() as http:
            while not await _answers(http, f"{address}/ping"):
                assert process.returncode is None, (folder / "proxy.log").read_text()
                await asyncio.sleep(0.05)
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


class Person:
    """Somebody with a browser that keeps cookies and follows where it is sent."""

    def __init__(self, http: aiohttp.ClientSession, address: str, provider: Provider, api: GuardedApi) -> None:
        self.http, self.address, self.provider, self.api = http, address, provider, api

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(f"{self.address}{path}", headers=headers) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, form: dict[str, str]) -> tuple[int, str]:
        headers = {"Sec-Fetch-Site": "same-origin"}
        async with self.http.post(f"{self.address}{path}", data=form, headers=headers) as answer:
            return answer.status, await answer.text()


@pytest.fixture(params=[ACCESS, ID], ids=["access token", "ID token"])
async def person(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Person]:
    """May see and change the runs of the namespace ns, with the token that the proxy passes on."""
    api = GuardedApi()
    api.put(*everything())
    api.rights["dashboard"] = set(LISTS)
    jar = aiohttp.CookieJar(unsafe=True)  # of an address without a name
    async with asyncio.timeout(60), served_api(api), provided() as provider, aiohttp.ClientSession(cookie_jar=jar) as http:
        client = Client.from_kubeconfig(api.kubeconfig(tmp_path, "dashboard"))
        async with client, on_hub(client, Settings("127.0.0.1", 0)) as port:
            while not await _answers(http, f"http://127.0.0.1:{port}/readyz"):
                await asyncio.sleep(0.02)
            provider.access_token = "access-token-of-ann"
            async with proxied(tmp_path, port, provider, *request.param) as address:
                found = Person(http, address, provider, api)
                assert (await found.get("/"))[0] in (200, 401, 403, 303)  # signs in
                api.rights["access-token-of-ann" if request.param == ACCESS else provider.id_tokens[-1]] = set(OWN)
                yield found


async def test_nobody_passes_the_proxy_who_has_not_signed_in(person: Person) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{person.address}/runs", allow_redirects=False, headers={"X-Forwarded-Access-Token": GuardedApi.ALL}) as answer,
    ):
        assert answer.status == 302
        assert answer.headers["Location"].startswith(f"{person.provider.url}/authorize?")


async def test_whoever_signed_in_sees_the_runs_that_the_token_may_list(person: Person) -> None:
    status, page = await person.get("/runs")
    assert (status, "digits" in page, "/runs/other/secret" in page) == (200, True, False)
    assert (await person.get("/runs/ns/digits"))[0] == 200
    assert (await person.get("/runs/other/secret"))[0] == 403


async def test_the_proxys_header_cannot_be_set_by_the_person(person: Person) -> None:
    assert (await person.get("/runs/other/secret", **{"X-Forwarded-Access-Token": GuardedApi.ALL}))[0] == 403
    assert GuardedApi.ALL not in {token for token, _, _ in person.api.asked}


async def test_a_run_is_suspended_with_the_persons_token(person: Person) -> None:
    _, page = await person.get("/runs/ns/digits")
    csrf = page.split('name="csrf" value="')[1].split('"')[0]
    assert (await person.post("/runs/ns/digits/suspend", {"csrf": "x"}))[0] == 403
    assert (await person.post("/runs/ns/digits/suspend", {"csrf": csrf}))[0] == 200
    assert person.api.objects[names.PLURAL, "ns", "digits"]["spec"]["suspend"] is True


async def test_changes_come_through_at_once(person: Person) -> None:
    async with person.http.get(f"{person.address}/live/runs/ns/digits") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        await stream.content.readuntil(b"\n\n")
        changed = asyncio.get_running_loop().time()
        await person.api.change(run(headlineMetric="accuracy 0.987", message="another round"))
        while b"0.987" not in await stream.content.readuntil(b"\n\n"):
            pass
        assert asyncio.get_running_loop().time() - changed < 2
