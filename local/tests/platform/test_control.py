"""Control of runs on a platform: a run keeps its data, and can be suspended, stopped and deleted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from waiting import eventually


@pytest.fixture(scope="module")
def app(home):
    """The folders `few` and `many` contain 10 and 20 points for cluster1."""
    home.panal("new", "myapp")
    for name, points in (("few", 10), ("many", 20)):
        folder = home.work / name / "cluster1"
        folder.mkdir(parents=True)
        (folder / "points.csv").write_text("-2,-2,0\n" * points)
    home.panal("up", "--clusters", "1")
    return "myapp"


def test_a_waiting_run_keeps_its_data(home, app):
    home.panal("run", app, "--rounds", "1", "--data", "few", "-d")
    home.panal("suspend", "myapp-1")
    home.panal("run", app, "--rounds", "1", "--data", "many")
    home.panal("resume", "myapp-1")
    home.panal("get", "myapp-1", "-w", "--timeout", "120")
    for run, points in (("myapp-1", 10), ("myapp-2", 20)):
        assert home.panal("logs", run, "--cluster", "cluster1").splitlines()[-1].startswith(f"cluster1: {points} points, accuracy ")


def test_the_evidence_of_a_run_holds(home, app):
    """No site has a policy here, so that none countersigns it."""
    eventually(lambda: evidence_of(home, "myapp-2"), "the record is written", 60)
    whole = home.json("evidence", "verify", "myapp-2-evidence.json")
    assert (whole["whole"], whole["run"], whole["rows"], whole["receipts"]) == (True, "default/myapp-2", 1, 0)
    content = json.loads((home.work / "myapp-2-evidence.json").read_text())
    content["record"]["content"]["metrics"]["accuracy"] = 0.99
    (home.work / "changed.json").write_text(json.dumps(content))
    assert "/record/content/metrics/accuracy   was changed" in home.panal("evidence", "verify", "changed.json", code=11)


def evidence_of(home, name: str) -> bool:
    command = [sys.executable, "-m", "panal.cli.main", "evidence", name]
    return subprocess.run(command, cwd=home.work, env=home.env, capture_output=True, check=False).returncode == 0


def test_unused_claims_are_removed(home, app):
    home.panal("run", app, "--rounds", "1", "--data", "few")
    (cluster,) = home.json("get", "clusters")["items"]
    claims = {claim["name"]: claim["value"] for claim in cluster["status"]["clusterClaims"]}
    assert [value for name, value in claims.items() if name.startswith("data-")] == [str(home.work / "few/cluster1")]


def test_a_stopped_run_ends_and_stays_until_it_is_deleted(home, app):
    home.panal("run", app, "--rounds", "500", "-d")
    name = home.json("get", "runs")["items"][-1]["metadata"]["name"]
    (cluster,) = eventually(lambda: [c for c in home.json("explain", name)["clusters"] if c["decided"]], "it is decided", 60)
    assert (cluster["cluster"], cluster["verdict"], cluster["takesPart"]) == ("cluster1", "Selected", True)
    home.panal("stop", name)
    home.panal("get", name, "-w", "--timeout", "60", code=1)
    assert "note: the run has ended" in home.panal("explain", name)
    status = home.json("get", name)["status"]
    assert status["phase"] == "Failed"
    assert next(c for c in status["conditions"] if c["type"] == "Failed")["reason"] == "Stopped"
    eventually(lambda: evidence_of(home, name), "the record of a stopped run is written", 180)
    assert home.json("evidence", "verify", f"{name}-evidence.json")["whole"]
    home.panal("resume", name, code=6)
    assert "the volume models in namespace default is kept" in home.panal("delete", name)
    home.panal("get", name, code=4)
