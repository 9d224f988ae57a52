"""Processes that die are reported to Flower at once, not after a minute without a heartbeat."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods
from .test_runs import children, command

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
HEARTBEAT = 60  # seconds after which Flower notices by itself
SOON = HEARTBEAT / 2  # for a whole phase, on a busy machine


@pytest.mark.parametrize("acceleration", ["Auto", pytest.param("Off", marks=pytest.mark.versions)])
@pytest.mark.parametrize(
    ("mode", "reason"), [("dies", "KilledBySIGKILL"), ("dies-as-it-replies", "KilledBySIGSEGV"), ("exits", "ClientAppExited")]
)
def test_a_dead_client_app_fails_at_once(pods: Make, mode: str, reason: str, acceleration: str) -> None:
    run = pods(rounds=2, min_clients=1)
    with reporting(run, ConfigMap()):
        app = run.app(mode=f"{mode}-at-site2")
        run.start_superlink()
        run.app_hash = run.bundle(app)
        for site in ("site1", "site2"):
            run.start_site(site, {"PANAL_ACCELERATION": acceleration})
        run.connected("site1", "site2")
        run.start_launcher(app)
        assert run.termination()[0] == 0
    phases = [r for r in run.records() if r.get("phase") == "train"]
    assert [(r["replies"], r["failed"]) for r in phases] == [(1, {"site2": reason})] * 2
    assert max(r["seconds"] for r in phases) < SOON
    (supernode,) = [p for p in children(run.processes["site2"].pid) if "flower-supernode" in command(p)]
    eventually(lambda: not zombies(supernode), "whatever has ended is collected", 10)


@pytest.mark.parametrize("acceleration", ["Auto", pytest.param("Off", marks=pytest.mark.versions)])
@pytest.mark.parametrize(
    ("mode", "reason", "message"),
    [
        ("dies", "AggregatorLost", "The server app was killed by SIGKILL"),
        ("exits", "ServerAppFailed", "The server app ended by sys.exit before it had a result"),
    ],
)
def test_a_dead_server_app_ends_the_attempt_with_its_signal(pods: Make, mode: str, reason: str, message: str, acceleration: str) -> None:
    run = pods(min_clients=1, PANAL_ACCELERATION=acceleration)
    run.start_all(run.app(mode=f"server-{mode}"), sites=1)
    assert run.termination() == (1, {"reason": reason, "message": message})
    connected = run.record(event="connected", count=1)
    assert connected is not None
    assert (run.folder / "launcher.termination").stat().st_mtime - connected["time"] < SOON  # it was submitted then


def test_a_supernode_restarts_when_its_superexec_dies(pods: Make) -> None:
    run = pods(min_clients=1)
    run.app_hash = "0" * 64
    run.start_superlink()
    run.start_site("site1")
    eventually(lambda: "Starting Flower SuperExec" in run.log("site1"), "its SuperExec runs")
    (supernode,) = [p for p in children(run.processes["site1"].pid) if "flower-supernode" in command(p)]
    (server,) = children(supernode)
    (superexec,) = children(server)
    os.kill(superexec, signal.SIGKILL)
    eventually(lambda: run.log("site1").count("Starting Flower SuperExec") == 2, "another")
    assert "the SuperExec ended with -9" in run.log("site1")


def zombies(process: int) -> list[int]:
    """The zombies among the descendants of a process."""
    try:
        below = [process, *children(process)]
        below += [p for each in below[1:] for p in children(each)]
        return [p for p in below if "(zombie)" in Path(f"/proc/{p}/status").read_text()]
    except OSError:  # reaped in the meantime
        return [process]
