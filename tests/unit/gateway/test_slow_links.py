"""A link that is much slower than the gateways: a model on its way does not delay heartbeats and pings for long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateways import LARGE, LOOPBACK, Hub, Proxy, Runtime, Spoke, post

SO_MAX_PACING_RATE = 47
RATE = 200_000  # bytes a second; the model needs 5 s
PACED = {"description": "link", "level": socket.SOL_SOCKET, "name": SO_MAX_PACING_RATE, "int_value": RATE}
SENT = 1.0  # seconds until buffers are full


def slow(place: dict[str, Any]) -> None:
    place["socket_options"] = [*place.get("socket_options", []), PACED]


class SlowHub(Hub):
    def files(self, *clusters: str) -> dict[str, Any]:
        found = super().files(*clusters)
        slow(found["lds.json"]["resources"][0])
        return found


class SlowSpoke(Spoke):
    def files(self) -> dict[str, Any]:
        found = super().files()
        slow(found["cds.json"]["resources"][-1]["upstream_bind_config"])
        return found


@pytest.fixture(params=[False, True], ids=["direct", "proxy"])
def slow_spoke(request: pytest.FixtureRequest, runtime: Runtime, proxy: Proxy, tmp_path: Path) -> Iterator[Spoke]:
    """Behind a slow link in both directions."""
    hub = SlowHub(tmp_path / "hub", runtime.port)
    address, pair = (LOOPBACK, hub.port), hub.collaborators.collaborator("c1")
    through = (LOOPBACK, proxy.port) if request.param else None
    found = SlowSpoke(tmp_path / "spoke", address, pair, (hub.servers,), proxy=through)
    try:
        hub.start("c1")
        found.start()
        yield found
    finally:
        found.envoy.stop()
        hub.envoy.stop()


@pytest.mark.parametrize("large", [{"body": bytes(LARGE)}, {"path": "/v1/fleet/large"}], ids=["up", "down"])
def test_a_small_request_passes_a_large_one(slow_spoke: Spoke, large: dict[str, Any]) -> None:
    assert post(slow_spoke.port).status == 200
    answers = []
    model = threading.Thread(target=lambda: answers.append(post(slow_spoke.port, **large).status))
    model.start()
    time.sleep(SENT)
    small = time.monotonic()
    assert post(slow_spoke.port).status == 200
    seconds = time.monotonic() - small
    model.join()
    assert answers == [200]
    assert seconds < 2
