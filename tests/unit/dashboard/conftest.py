"""A dashboard that really serves, on an API server in memory that asks who may do what."""

from __future__ import annotations

from contextlib import asynccontextmanager

import aiohttp
import pytest

from dashboards import everything
from guarded_api import GuardedApi, Right, reading
from guarded_api import served as served_api
from panal.api import names
from panal.dashboard.main import Laptop, on_hub, on_laptop
from panal.dashboard.settings import Settings
from panal.kube.client import Client

LISTS = reading(names.PLURAL, "managedclusters", "managedclusteraddons", "addonplacementscores", "placementdecisions")


class Visitor:
    """Somebody who asks a dashboard, without following where it sends him. `headers` go with every request."""

    def __init__(self, http: aiohttp.ClientSession, base: str, **headers: str) -> None:
        self._http, self.base, self.headers = http, base, headers

    async def ask(self, method: str, path: str, **more):
        headers = {**self.headers, **more.pop("headers", {})}
        async with self._http.request(method, f"{self.base}{path}", headers=headers, allow_redirects=False, **more) as answer:
            return answer, await answer.text()

    async def get(self, path: str, **more):
        return await self.ask("GET", path, **more)

    async def post(self, path: str, form: dict[str, str], site: str = "same-origin", **headers: str):
        return await self.ask("POST", path, data=form, headers={"Sec-Fetch-Site": site, **headers} if site else headers)

    def with_headers(self, **headers: str) -> Visitor:
        return Visitor(self._http, self.base, **headers)

    async def csrf(self, path: str = "/runs/ns/digits") -> str:
        _, page = await self.get(path)
        return page.split('name="csrf" value="')[1].split('"')[0]

    async def stream(self, path: str):
        """The answer of a stream, whose reader closes it."""
        return await self._http.get(f"{self.base}{path}", headers=self.headers, timeout=aiohttp.ClientTimeout(total=30))


@pytest.fixture
async def api():
    async with served_api(GuardedApi()) as api:
        api.put(*everything())
        yield api


@pytest.fixture
def laptop(api, tmp_path):
    """Starts a dashboard with the rights of a token; yields the address with the token, and a visitor without a cookie."""

    @asynccontextmanager
    async def start(token=GuardedApi.ALL, **options):
        client = Client.from_kubeconfig(api.kubeconfig(tmp_path, token))
        jar, options = aiohttp.DummyCookieJar(), Laptop("test", **options)
        async with client, aiohttp.ClientSession(cookie_jar=jar) as http, on_laptop(client, options, lambda *_: None) as address:
            yield address, Visitor(http, address.split("/enter")[0])

    return start


@pytest.fixture
async def owner(laptop):
    """Whoever started the dashboard, with his cookie."""
    async with laptop() as (address, visitor):
        answer, _ = await visitor.get(address.removeprefix(visitor.base))
        yield visitor.with_headers(Cookie=answer.headers["Set-Cookie"].split(";")[0])


@pytest.fixture
async def hub(api, tmp_path):
    """A dashboard on a hub, whose own account may only list; yields a visitor without a token."""
    api.rights["dashboard"] = set(LISTS)
    client = Client.from_kubeconfig(api.kubeconfig(tmp_path, "dashboard"))
    async with client, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http, on_hub(client, Settings("127.0.0.1", 0)) as port:
        visitor = Visitor(http, f"http://127.0.0.1:{port}")
        while (await visitor.get("/readyz"))[0].status != 200:
            pass
        yield visitor


@pytest.fixture
def member(api, hub):
    """May see the runs of the namespace ns and what belongs to them, and nothing of the clusters."""
    api.rights["member"] = reading(names.PLURAL, "configmaps", "events", "pods", namespace="ns") | {Right("get", "pods/log", "ns")}
    return hub.with_headers(Authorization="Bearer member")


@pytest.fixture
def nobody(api, hub):
    """Has an account, and no rights."""
    api.rights["nobody"] = set()
    return hub.with_headers(Authorization="Bearer nobody")
