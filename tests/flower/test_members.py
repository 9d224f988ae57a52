"""Clusters that are slow, that join and that leave, with the real Flower. The test holds trainings: nothing depends on time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]


class Steps:
    """The trainings of the app, each named by site and round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def hold(self, *steps: str) -> None:
        for step in steps:
            (self.folder / f"{step}.held").touch()

    def release(self, *steps: str) -> None:
        for step in steps:
            (self.folder / f"{step}.held").unlink()

    def begun(self, *steps: str) -> None:
        eventually(lambda: all((self.folder / f"{step}.began").exists() for step in steps), f"{steps} begin")

    @property
    def all(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.began"))


def results(run: Pods) -> list[tuple[list[str], dict[str, str]]]:
    """Of each round: the clusters that replied, and those that failed."""
    return [(sorted(r["collaborators"]), r["failed"]) for r in run.records() if r.get("phase") == "train"]


def start(run: Pods, steps: Steps, *sites: str) -> None:
    """All of `sites` are connected when the run starts."""
    app = run.app(folder=str(steps.folder))
    run.start_superlink()
    run.app_hash = run.bundle(app)
    for site in sites:
        run.start_site(site)
    run.connected(*sites)
    run.start_launcher(app)


def test_a_straggler_takes_part_when_it_has_finished(pods: Make, tmp_path: Path) -> None:
    """It trains for round 1 until round 3. Its reply of round 1 is dropped, and it does not get the message of round 2 any more."""
    run, steps = pods(rounds=3, min_clients=2, PANAL_STRAGGLER_GRACE="10", PANAL_ROUND_TIMEOUT="3600"), Steps(tmp_path / "steps")
    steps.hold("site3-1", "site1-3", "site2-3")
    with reporting(run, ConfigMap()):
        start(run, steps, "site1", "site2", "site3")
        steps.begun("site3-1", "site1-3", "site2-3")
        assert results(run) == [(["site1", "site2"], {"site3": "Late"})] * 2
        steps.release("site3-1")
        eventually(lambda: run.log("site3").count("Sent successfully") == 2, "site3 has replied in round 3")
        steps.release("site1-3", "site2-3")
        assert run.termination()[0] == 0
    assert results(run)[2:] == [(["site1", "site2", "site3"], {})]
    assert steps.all == ["site1-1", "site1-2", "site1-3", "site2-1", "site2-2", "site2-3", "site3-1", "site3-3"]


def test_a_cluster_takes_part_from_the_round_after_it_joins_until_it_leaves(pods: Make, tmp_path: Path) -> None:
    run, steps = pods(rounds=3, min_clients=1, PANAL_ROUND_TIMEOUT="3600"), Steps(tmp_path / "steps")
    participants = run.run_dir / "participants.json"
    participants.write_text(json.dumps({"clusters": ["site1", "site2"]}))
    steps.hold("site1-1", "site2-2")
    with reporting(run, ConfigMap()):
        start(run, steps, "site1", "site2")
        steps.begun("site1-1")
        participants.write_text(json.dumps({"clusters": ["site1", "site2", "site3"]}))
        run.start_site("site3")
        run.connected("site3")
        steps.release("site1-1")
        steps.begun("site2-2")
        participants.write_text(json.dumps({"clusters": ["site1", "site3"]}))
        eventually(lambda: len(results(run)) >= 2, "round 2 ends without site2, which still trains")
        assert run.termination()[0] == 0
        steps.release("site2-2")
    assert results(run) == [
        (["site1", "site2"], {}),
        (["site1", "site3"], {"site2": "NodeUnavailable"}),
        (["site1", "site3"], {}),
    ]
