"""A router of the hub between both real gateways: HAProxy, which passes TLS through by the name in the handshake as OpenShift's does.

It ends connections that are silent for 8 s. Several runs are behind its one port.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateways import LATE, LOOPBACK, Background, Hub, Runtime, Spoke, post, write
from panal.api import names
from routers import HAPROXY, HAProxy

pytestmark = pytest.mark.real

TUNNEL = 8  # seconds
RUNS = ("one", "two")
LATER = '{"interval": "20s", "timeout": "10s"}'


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    loop = Background()
    yield loop
    loop.stop()


@pytest.fixture
def hubs(background: Background, tmp_path: Path) -> Iterator[dict[str, Hub]]:
    """The aggregators' gateways of two runs, each with a runtime and authorities of its own."""
    if HAPROXY is None:
        pytest.skip("no haproxy: apt-get install --no-install-recommends haproxy")
    made = {}
    runtimes = []
    for run in RUNS:
        runtime = Runtime(background)
        runtime.start()
        runtimes.append(runtime)
        identity, server = names.run_id("team", run, run), names.server_name(run, "team")
        made[run] = Hub(tmp_path / run, runtime.port, run_id=identity, server_name=server)
        made[run].start(f"cluster-of-{run}")
    yield made
    for hub in made.values():
        hub.envoy.stop()
    for runtime in runtimes:
        runtime.stop()


@pytest.fixture
def router(hubs: dict[str, Hub], tmp_path: Path) -> Iterator[HAProxy]:
    found = HAProxy(tmp_path, {f"{run}.hub.example": hub.port for run, hub in hubs.items()}, f"{TUNNEL}s")
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def site(hubs: dict[str, Hub], router: HAProxy, tmp_path: Path) -> Iterator[Callable[..., Spoke]]:
    """Starts the gateway of the run's only collaborator, which dials the router."""
    made: list[Spoke] = []

    def start(run: str, **changes: Any) -> Spoke:
        hub, cluster = hubs[run], f"cluster-of-{run}"
        known: dict[str, Any] = {
            "address": (LOOPBACK, router.port),
            "pair": hub.collaborators.collaborator(cluster),
            "servers": (hub.servers,),
            "protocol": names.protocol(hub.run_id, cluster),
            "server_name": hub.server_name,
            "sni": f"{run}.hub.example",
        }
        made.append(Spoke(tmp_path / f"site{len(made)}", **(known | changes)))
        made[-1].start()
        return made[-1]

    yield start
    for spoke in made:
        spoke.envoy.stop()


def test_two_runs_share_one_address_and_port(site: Callable[..., Spoke]) -> None:
    sites = {run: site(run) for run in RUNS}
    body = bytes(3_000_000)
    for run in (*RUNS, *RUNS):
        answer = post(sites[run].port, body=body)
        assert (answer.status, answer.body.decode()) == (200, f"cluster-of-{run}")


def test_an_answer_that_is_late_outlives_the_timeout_of_the_tunnel(site: Callable[..., Spoke]) -> None:
    assert LATE > 2 * TUNNEL
    sites = {run: site(run) for run in RUNS}
    with ThreadPoolExecutor() as pool:
        answers = {run: pool.submit(post, sites[run].port, "/v1/fleet/late") for run in RUNS}
    assert {run: (a.result().status, a.result().body.decode()) for run, a in answers.items()} == {
        run: (200, f"cluster-of-{run}") for run in RUNS
    }


def rarely(files: dict[str, Any]) -> dict[str, Any]:
    """The same, with a ping every 20 s."""
    text = json.dumps(files)
    changed = text.replace('{"interval": "5s", "timeout": "10s"}', LATER)
    assert changed != text
    found: dict[str, Any] = json.loads(changed)
    return found


def test_a_ping_that_comes_later_than_the_timeout_loses_the_answer(hubs: dict[str, Hub], site: Callable[..., Spoke]) -> None:
    """Why the gateways ping as often as they do; and that this router really ends what is silent."""
    hub = hubs["one"]
    write(hub.folder, rarely({"lds.json": hub.files("cluster-of-one")["lds.json"]}))
    one = site("one")
    files = rarely(one.files())
    one.files = lambda: files  # type: ignore[method-assign]
    one.write()
    assert post(one.port).status == 200
    started = time.monotonic()
    assert post(one.port, "/v1/fleet/late").status == 503
    assert TUNNEL <= time.monotonic() - started < LATE


def test_a_name_that_no_run_has_reaches_no_run(hubs: dict[str, Hub], site: Callable[..., Spoke]) -> None:
    assert post(site("one", sni="three.hub.example").port).status == 503
    wrong = site("one", sni="two.hub.example")
    assert post(wrong.port).status == 503
    assert "CERTIFICATE_VERIFY_FAILED" in wrong.envoy.refusal(refused="request")["reason"]
    assert all(traffic.requests == 0 for hub in hubs.values() for traffic in hub.stats().values())
