"""What the server of a run refuses, through the real gateways: connections without the Pod's secret, another cluster's name, and messages
for those that only administrators and the server's own processes may speak to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from panal.pod.tools.flare.channel import STREAMS
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flare

ATTACKER = Path(__file__).parent / "attacker.py"


def attack(run: Pods, port: int, secret: Path | str, cell: str, messages: Sequence[dict[str, Any]] = ({},), kept: int = 0) -> str:
    sent = [{f"cn__{name}": value for name, value in each.items()} for each in messages]
    command = [str(run.venv / "bin/python"), str(ATTACKER), str(port), str(secret), cell, json.dumps(sent), str(kept)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def message(
    sender: str = "site2", to: str = "server", channel: str = "task", topic: str = "heart_beat", kind: str = "req", **more: Any
) -> dict[str, Any]:
    return {"origin": sender, "from": sender, "destination": to, "to": to, "msg_type": kind, "channel": channel, "topic": topic} | more


REFUSED = {
    "the message says that it is from 'site1'": message("site1"),
    "the message says that it is from 'server'": message("server"),
    "the message is for 'site1'": message(to="site1"),
    "the message is for the channel 'hci_channel' and the topic 'command'": message(channel="hci_channel", topic="command"),
    "the message is for the channel 'server_parent_listener'": message(channel="server_parent_listener", topic="update_run_status"),
    "the message is for the channel 'server_command' and the topic 'abort'": message(channel="server_command", topic="abort"),
    "the message for the channel 'task' names no client": message(topic="register"),
    "a message of the kind 'other'": message(kind="other"),
    "the message answers for 'site1'": message(kind="return", original_headers={"cn__destination": "site1"}),
}


def test_a_cluster_speaks_for_itself_alone_and_only_to_the_server(pods: Callable[..., Pods]) -> None:
    run = pods(min_clients=2, PANAL_QUORUM_TIMEOUT="600")
    run.hub.start("site1", "site2")
    run.participate("site1", "site2")
    run.start_aggregator()
    run.logged("server", "Server started")
    run.start_site("site1")
    run.logged("server", "New client site1")

    # A process of the aggregator's machine that does not know the Pod's secret, and one that asks for site1 with site2's certificate.
    assert "UNAUTHENTICATED" in attack(run, run.port, "", "site2")
    run.logged("server", "refused: cluster=-: the connection does not come through this Pod's gateway")
    gateway, secret = run.spoke("site2").port, run.spoke("site2").pod / "secret"
    attack(run, gateway, secret, "site1")
    run.logged("server", "refused: cluster=site2: the cell says that it is 'site1'")
    attack(run, gateway, secret, "site2", list(REFUSED.values()))
    for why in REFUSED:
        run.logged("server", f"refused: cluster=site2: {why}")
    assert "RESOURCE_EXHAUSTED" in attack(run, gateway, secret, "site2", kept=STREAMS)
    run.logged("server", f"refused: cluster=site2: it has {STREAMS} open connections")

    # FLARE's own client with another cluster's name: it is refused, and the cluster of that name stays connected.
    run.start_site("impostor", cluster="site2", claims="site1")
    eventually(lambda: run.log("server").count("the cell says that it is 'site1'") > 1, run.logs, 60)
    assert run.log("server").count("New client") == 1
    assert run.record(event="connected", count=2) is None
