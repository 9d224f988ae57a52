"""The proxy of a site, between both real gateways: squid with CONNECT, with and without passwords, and restarted."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateways import LATE, LOOPBACK, Background, Hub, Load, Runtime, Spoke, Stream, post, wait_for
from routers import SQUID, Squid

pytestmark = pytest.mark.real

USERS = {"site": "a password: with a colon"}
SILENCE = 8  # seconds


def authorization(password: str = USERS["site"]) -> bytes:
    return b"Basic " + base64.b64encode(f"site:{password}".encode()) + b"\n"


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    loop = Background()
    yield loop
    loop.stop()


@pytest.fixture(scope="module")
def hub(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    if SQUID is None:
        pytest.skip("no squid: apt-get install --no-install-recommends squid")
    runtime = Runtime(background)
    runtime.start()
    found = Hub(tmp_path_factory.mktemp("hub"), runtime.port)
    try:
        found.start("c1")
        yield found
    finally:
        found.envoy.stop()
        runtime.stop()


@pytest.fixture
def proxy(hub: Hub) -> Iterator[Callable[..., Squid]]:
    """Starts one that allows connections to the hub."""
    made: list[Squid] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)

        def start(**settings: Any) -> Squid:
            made.append(Squid(Path(folder), hub.port, **settings))
            made[-1].start()
            return made[-1]

        yield start
        for squid in made:
            squid.stop()


@pytest.fixture
def site(hub: Hub, tmp_path: Path) -> Iterator[Callable[..., Spoke]]:
    """Starts the gateway of a collaborator that dials the hub through a proxy."""
    made: list[Spoke] = []

    def start(proxy: Squid, **more: Any) -> Spoke:
        pair = hub.collaborators.collaborator("c1")
        made.append(Spoke(tmp_path / "site", (LOOPBACK, hub.port), pair, (hub.servers,), proxy=(LOOPBACK, proxy.port), **more))
        made[-1].start()
        return made[-1]

    yield start
    for spoke in made:
        spoke.envoy.stop()


def test_a_model_passes_the_proxy(proxy: Callable[..., Squid], site: Callable[..., Spoke]) -> None:
    answer = post(site(proxy()).port, body=bytes(3_000_000))
    assert (answer.status, answer.body) == (200, b"c1")


def test_a_proxy_that_asks_for_a_password_gets_that_of_the_site(proxy: Callable[..., Squid], site: Callable[..., Spoke]) -> None:
    one = site(proxy(users=USERS))
    assert post(one.port).status == 503
    assert one.envoy.refusal(refused="tunnel")["status"] == 407
    one.authorization = authorization("another")
    one.write()
    assert post(one.port).status == 503
    one.authorization = authorization()
    one.write()
    wait_for("the password", lambda: post(one.port).status == 200)


def test_a_target_that_the_proxy_does_not_allow_is_named(hub: Hub, proxy: Callable[..., Squid], site: Callable[..., Spoke]) -> None:
    one = site(proxy())
    one.address = (LOOPBACK, hub.port - 1)
    one.write()

    def refused() -> bool:
        assert post(one.port).status in (200, 503)  # the gateway may not have read its files yet
        return any(r["refused"] == "tunnel" for r in one.envoy.refusals)

    wait_for("the refusal", refused)
    refusal = one.envoy.refusal(refused="tunnel")
    assert (refusal["status"], refusal["target"]) == (403, f"{LOOPBACK}:{hub.port - 1}")


def test_a_proxy_that_is_restarted_costs_what_is_under_way_and_nothing_else(
    proxy: Callable[..., Squid], site: Callable[..., Spoke]
) -> None:
    squid = proxy()
    one = site(squid)
    stream = Stream(one.port)
    try:
        assert stream.flows()
        with Load(one.port) as load:
            load.goes_on()
            squid.stop()
            wait_for("a request without a proxy", lambda: 503 in load.statuses)
            wait_for("the end of what was under way", lambda: stream.ended)
            squid.start()
            failed = len(load.statuses)
            wait_for("the next request", lambda: 200 in load.statuses[failed:])
            again = failed + load.statuses[failed:].index(200)
            load.goes_on()
        assert set(load.statuses[again:-1]) == {200}
    finally:
        stream.stop()


def test_an_answer_that_is_late_outlives_the_timeout_of_the_proxy(proxy: Callable[..., Squid], site: Callable[..., Spoke]) -> None:
    assert LATE > 2 * SILENCE
    one = site(proxy(silence=f"{SILENCE} seconds"))
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(post, one.port, "/v1/fleet/late").result()
    assert (answer.status, answer.body) == (200, b"c1")
