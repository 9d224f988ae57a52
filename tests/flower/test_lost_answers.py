"""Connections that break after the hub has handled a request, with the real Flower: nothing is lost, and nothing is trained twice."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from gateways import LOOPBACK, RUN, Background, Hub, Proxy, Spoke
from panal.api import names
from panal.pod.tools.install import create_secret
from reporting import ConfigMap, reporting

from .conftest import SECRET, Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
ROUNDS = 2
PATIENCE = 90  # seconds of a phase: less than what Flower's own waits cost (180 s for a push, the round's timeout for a pull)
LARGE = 2_000_000  # numbers in the model: larger than the buffers between the gateways
ANSWERS = (
    "register-node",
    "activate-node",
    "pull-messages",
    "get-run",
    "get-fab",
    "pull-object",
    "confirm-message-received",
    "push-messages",
    "push-object",
)


def check(run: Pods, folder: Path) -> None:
    trained = [r for r in run.records() if r.get("phase") == "train"]
    assert [(r["round"], r["replies"], r["failures"]) for r in trained] == [(1, 1, 0), (2, 1, 0)]
    assert max(r["seconds"] for r in trained) < PATIENCE
    assert run.log("site1").count("tiny trains") == ROUNDS
    assert "Failed to send" not in run.log("site1")
    assert set(load_file(folder / "model.safetensors")["w"].tolist()) == {float(ROUNDS)}


@pytest.mark.parametrize("path", ANSWERS)
def test_nothing_depends_on_an_answer_that_is_lost(pods: Make, path: str) -> None:
    """Each answer to a different request is lost twice: all of it, then its second half."""
    run = pods(rounds=ROUNDS, min_clients=1, PANAL_ROUND_TIMEOUT="3600")
    lost: Counter[tuple[bytes, bytes]] = Counter()

    def twice(called: str, asked: bytes, answer: bytes) -> int | None:
        if called != f"/v1/fleet/{path}" or lost[asked, answer] == 2:
            return None
        lost[asked, answer] += 1
        return 0 if lost[asked, answer] == 1 else len(answer) // 2

    run.gateways.cut = twice
    with reporting(run, ConfigMap()) as folder:
        run.start_all(run.app(), sites=1)
        code, message = run.termination()
        assert code == 0, message
    assert lost
    check(run, folder)
    assert run.log("site1").count("SuperNode ID") == 1  # it did not have to start again


@pytest.fixture
def background() -> Iterator[Background]:
    loop = Background()
    yield loop
    loop.stop()


@pytest.mark.parametrize("path", ["pull-messages", "pull-object", "push-messages", "push-object"])
def test_nothing_depends_on_a_connection_between_the_gateways(pods: Make, background: Background, tmp_path: Path, path: str) -> None:
    """With both Envoys: all connections of the site break when the hub has handled the request, for four different answers; of
    a large one, the first half arrives."""
    run = pods(rounds=ROUNDS, min_clients=1, PANAL_ROUND_TIMEOUT="3600")
    hub = Hub(tmp_path / "hub", run.gateways.port("site1"), largest_request=16 << 20)
    network = Proxy(background)
    network.start()
    spoke = Spoke(
        folder=tmp_path / "spoke",
        address=(LOOPBACK, hub.port),
        pair=hub.collaborators.collaborator("site1"),
        servers=(hub.servers,),
        protocol=names.protocol(RUN, "site1"),
        proxy=(LOOPBACK, network.port),
    )
    (spoke.pod / names.POD_SECRET).write_text(SECRET)
    (spoke.pod / names.POD_USERS).unlink()
    create_secret(spoke.pod)
    lost: list[bytes] = []

    def four_times(called: str, asked: bytes, answer: bytes) -> int | None:
        if called != f"/v1/fleet/{path}" or (path == "pull-messages" and len(answer) < 100) or asked + answer in lost or len(lost) == 4:
            return None
        lost.append(asked + answer)
        if len(lost) % 2 and len(answer) > 1 << 20:
            return len(answer) // 2
        network.drop()
        background.run(asyncio.sleep(0))  # it has been dropped
        return None

    run.gateways.cut = four_times
    try:
        hub.start("site1")
        spoke.start()
        with reporting(run, ConfigMap()) as folder:
            run.start_superlink()
            run.announce(run.app(numbers=LARGE))
            run.start_site("site1", {"PANAL_GATEWAY_PORT": str(spoke.port)})
            code, message = run.termination()
            assert code == 0, (message, spoke.envoy.said, hub.envoy.said)
    finally:
        spoke.envoy.stop()
        hub.envoy.stop()
        network.stop()
    assert lost
    check(run, folder)
    assert run.log("site1").count("SuperNode ID") == 1


def test_a_node_that_is_heard_needs_no_heartbeats(pods: Make) -> None:
    """None of them arrives, and the SuperLink waits 20 s for one: while the run waits for its quorum, and in its rounds."""
    run = pods(rounds=8, min_clients=2, PANAL_QUORUM_TIMEOUT="300")
    usual, shortest = (struct.pack("<d", seconds) for seconds in (30.0, 10.0))
    run.gateways.asked = lambda body: body.replace(usual, shortest)
    run.gateways.blocked = "/v1/fleet/send-node-heartbeat"
    with reporting(run, ConfigMap()):
        run.start_all(run.app(mode="slow-a-little"), sites=1)
        run.connected("site1")
        time.sleep(22)  # the SuperLink's clock is not ours to set
        run.start_site("site2")
        code, message = run.termination()
        assert code == 0, message
    assert [r["count"] for r in run.records() if r["event"] == "connected" and r["count"]] == [1, 2]
    trained = [r for r in run.records() if r.get("phase") == "train"]
    assert [(r["replies"], r["failures"]) for r in trained] == [(2, 0)] * 8
    assert sum(r["seconds"] for r in trained) > 20
