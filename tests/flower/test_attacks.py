"""Attacks of a site and of a hub inside an authenticated connection, with the real Flower."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from waiting import eventually

from .conftest import Pods
from .test_runs import children, command

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]

EVERYTHING = ("heartbeat", "pull", "push", "run", "fab", "push object", "pull object", "confirm", "deactivate", "unregister")
EXPECTED = {
    **{f"{site} {what}": "ok" for site in ("site1", "site2") for what in ("registers", "activates", "polls")},
    **{f"by {whose} {what}": "401" for whose in ("another's key", "another's certificate", "an outsider") for what in EVERYTHING},
    "second registers": "401",  # with a key that does not match its signature
    "second activates": "401",
    "second in another Pod registers": "412",
    "second in another Pod activates": "401",
    "activates another's": "401",
    **{f"message {what}": "401" for what in ("as the server", "as another's node", "no reply")},
    **{f"restarted {what}": "ok" for what in ("registers", "activates", "polls", "leaves")},
    **{f"replaced {what}": "401" for what in EVERYTHING},
    **{f"another Pod after it left {what}": "ok" for what in ("registers", "activates")},
    **{f"another Pod, registered now {what}": "ok" for what in ("registers", "activates")},
}


def attack(run: Pods, *ports: int) -> dict[str, str]:
    script = str(Path(__file__).parent / "attacker.py")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(run.folder), "FLWR_TELEMETRY_ENABLED": "0"}
    command = [str(run.venv / "bin/python"), script, *map(str, ports)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.oldest
def test_a_site_has_one_node_and_uses_no_other(pods: Make) -> None:
    run = pods()
    run.start_superlink()
    eventually(lambda: "Uvicorn running" in run.log("superlink"), "it serves")
    results = attack(run, run.gateways.port("site1"), run.gateways.port("site2"), run.gateways.port(""))
    assert results == EXPECTED
    lines = [line for line in run.log("superlink").splitlines() if line.startswith("panal: refused: ")]
    assert len(lines) == sum(status != "ok" for status in EXPECTED.values())
    for who in ("- reason=NoCluster", "site2 reason=BadSignature", "site2 reason=ForeignNode", "site1 reason=ForeignNode",
                "site1 reason=SecondCollaborator", "site2 reason=ForeignMessage"):  # fmt: skip
        assert any(line.startswith(f"panal: refused: cluster={who} at=") for line in lines)


def test_two_nodes_with_one_certificate_do_not_make_a_quorum(pods: Make) -> None:
    run = pods(min_clients=2, PANAL_QUORUM_TIMEOUT="10")
    run.start_superlink()
    run.announce(run.app())
    run.start_site("site1")
    run.connected("site1")
    run.start_site("twin", cluster="site1")
    eventually(lambda: "a collaborator with this certificate is connected already" in run.log("twin"), "the second node gets the reason")
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "QuorumNotReached")
    assert message["message"].startswith("1 collaborators connected")
    assert {r["count"] for r in run.records() if r["event"] == "connected"} <= {0, 1}
    assert "panal: refused: cluster=site1 reason=SecondCollaborator at=register_node: site1: " in run.log("superlink")
    assert "SuperNode ID" not in run.log("twin")


def test_a_killed_supernode_is_replaced_at_once(pods: Make) -> None:
    run = pods(min_clients=2, PANAL_QUORUM_TIMEOUT="300")
    run.start_superlink()
    run.announce(run.app())
    run.start_site("site1")
    run.connected("site1")
    for times in (2, 3):
        (node,) = [p for p in children(run.processes["site1"].pid) if "flower-supernode" in command(p)]
        os.kill(node, signal.SIGKILL)
        eventually(lambda times=times: run.log("site1").count("SuperNode ID") == times, "it is back")
    assert run.log("superlink").count("takes the place of") == 2
    assert "SecondCollaborator" not in run.log("superlink")  # it did not have to wait
    run.start_site("site2")
    eventually(lambda: run.record(event="started"), "two sites are a quorum")
    assert max(r["count"] for r in run.records() if r["event"] == "connected") == 2


def test_metrics_belong_to_the_cluster_of_the_certificate(pods: Make) -> None:
    run = pods(min_clients=2)
    run.start_superlink()
    run.announce(run.app(mode="poses"))
    run.start_site("site1")
    run.start_site("site2", {"PANAL_CLUSTER": "site1"})
    train = eventually(lambda: run.record(event="round", phase="train"), "a round")
    assert set(train["collaborators"]) == {"site1", "site2"}
    assert train["collaborators"]["site2"]["metrics"]["loss"] == 1.0  # what it sends in the name of site1
    assert all(reply["seconds"] < 99 for reply in train["collaborators"].values())


@pytest.mark.parametrize("lies", [False, True], ids=["openly", "under the announced hash"])
def test_a_site_refuses_an_app_that_was_not_announced(pods: Make, lies: bool) -> None:
    """The hub sends another app, with its own hash or with the announced one."""
    run = pods(min_clients=1)
    run.start_superlink()
    run.announce(run.app())
    sent, announced = run.app_hash, "a5" * 32
    if lies:
        run.gateways.asked = lambda body: body.replace(announced.encode(), sent.encode())
        run.gateways.answered = lambda body: body.replace(sent.encode(), announced.encode())
    run.app_hash = announced
    run.start_site("site1")
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "AllCollaboratorsFailed")
    assert "AppHashMismatch" in message["message"]
    assert [r["failed"] for r in run.records() if r.get("phase") == "train"] == [{"site1": "AppHashMismatch"}] * 3
    how = "sent" if lies else "wants to run"
    assert f"panal: AppHashMismatch: the hub {how} an app of SHA-256 {sent}, announced was {announced}" in run.log("site1")
    assert not list((run.folder / "tmp-site1").rglob("client_app*"))
    assert "flwr-clientapp" not in run.log("site1")


def test_a_site_without_an_app_hash_does_not_start(pods: Make) -> None:
    run = pods()
    run.start_site("site1", {"PANAL_APP_HASH": ""})
    code, message = run.termination("site1")
    assert (code, message["reason"]) == (1, "AppHashMismatch")
    assert "--superlink" not in run.log("site1")
