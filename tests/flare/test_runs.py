"""Runs with the real FLARE through both real gateways: records, the stored model, and the end of each kind of failure."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from panal.pod.tools.flare.flare import descendants, parents
from reporting import ConfigMap, reporting

from .conftest import Pods

pytestmark = pytest.mark.flare

Make = Callable[..., Pods]
STORED = "stored as pvc://models/out/team/digits/u-1/model.safetensors"


RECIPE = """
import sys
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
recipe = NumpyFedAvgRecipe(name="hello", model=[[0.0, 0.0], [0.0, 0.0]], min_clients=9, num_rounds=9, train_script=sys.argv[1])
recipe.export(sys.argv[2])
"""
SCRIPT = """
import numpy as np
import nvflare.client as flare
flare.init()
while flare.is_running():
    model = flare.receive()
    params = {name: np.asarray(value) + 1 for name, value in model.params.items()}
    flare.send(flare.FLModel(params=params, metrics={"accuracy": 0.25 * (model.current_round + 1)}))
"""


def phases(run: Pods, phase: str = "train") -> list[tuple[int, list[str], dict[str, str]]]:
    """The rounds with the clusters that replied, and those that failed."""
    found = [r for r in run.records() if r["event"] == "round" and r["phase"] == phase]
    return [(r["round"], sorted(r.get("collaborators", {})), r["failed"]) for r in found]


def running(process: int) -> bool:
    """Whether a process exists and is not a zombie, which process 1 of a container reaps."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_a_run_completes_with_its_rounds_recorded_and_its_model_stored(pods: Make) -> None:
    run = pods(rounds=3)
    with reporting(run, ConfigMap(rounds="3")) as folder:
        run.start_all("site1", "site2.example")
        assert run.termination() == (0, {"reason": "Completed", "message": f"Model of round 3 {STORED}"})
    found = [(r["round"], r["phase"]) for r in run.records() if r["event"] == "round"]
    assert found == [(number, phase) for number in (1, 2, 3) for phase in ("train", "end")]
    assert phases(run) == [(number, ["site1", "site2.example"], {}) for number in (1, 2, 3)]
    train = run.record(event="round", round=3, phase="train")
    assert train is not None
    assert train["collaborators"]["site1"]["metrics"]["accuracy"] > 0.9
    model = load_file(folder / "model.safetensors")
    assert {name: each.shape for name, each in model.items()} == {"w": (4, 3), "b": (3,)}
    assert "site site2_example is part 1 of 2" in run.log("site2.example")


def test_a_job_of_flares_own_recipe_runs_as_it_is_exported(pods: Make) -> None:
    """The recipe asks for 9 rounds and 9 clients; the run decides."""
    run = pods(rounds=2)
    script = run.folder / "train.py"
    script.write_text(SCRIPT)
    command = [str(run.venv / "bin/python"), "-c", RECIPE, str(script), str(run.folder / "exported")]
    subprocess.run(command, cwd=run.folder, capture_output=True, check=True)
    run.image = run.folder / "exported/hello"
    for path in (run.image, *run.image.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    with reporting(run, ConfigMap(rounds="2")) as folder:
        run.start_all("site1", "site2")
        assert run.termination() == (0, {"reason": "Completed", "message": f"Model of round 2 {STORED}"})
    assert [r["metrics"] for r in run.records() if r.get("phase") == "train"] == [{"accuracy": 0.25}, {"accuracy": 0.5}]
    assert [r["round"] for r in run.records() if r["event"] == "checkpoint"] == [1, 2]
    assert run.record(event="notice") is None
    assert load_file(folder / "model.safetensors")["numpy_key"].tolist() == [[2, 2], [2, 2]]
    assert (folder / "files/flare/models/server.npy").is_file()


def test_a_killed_site_and_one_that_comes_later_take_part_again(pods: Make) -> None:
    run = pods(rounds=8, min_clients=1)  # so many that site2 has connected before the last
    run.fault("site1", "wait")
    with reporting(run, ConfigMap(rounds="8")):
        run.start_all("site1")
        run.logged("site1", "round 0 wait")
        run.kill("site1")
        run.participate("site1", "site2")
        run.fault("site1", "")
        run.start_site("site1", 0)
        run.start_site("site2", 1)
        assert run.termination()[0] == 0
    assert run.log("server").count("New client site1") == 2
    assert "starting the job at site1, which has connected later" in run.log("server")
    assert phases(run)[-1] == (8, ["site1", "site2"], {})


def test_a_site_that_raises_ends_a_job_that_needs_it_and_its_text_stays_there(pods: Make) -> None:
    run = pods(rounds=2, min_clients=2)
    run.fault("site2", "raise")
    run.start_all("site1", "site2")
    code, end = run.termination()
    assert (code, end["reason"]) == (1, "ServerAppFailed")
    assert run.record(event="model") is None  # no round is complete, even if the reply of the other site has counted
    assert "secret of a patient" in run.log("site2")
    for file in (*run.run_dir.rglob("*"), run.folder / "server.log"):
        assert not file.is_file() or b"secret of a patient" not in file.read_bytes()


def test_a_run_without_enough_clusters_ends(pods: Make) -> None:
    run = pods(min_clients=2, PANAL_QUORUM_TIMEOUT="30")
    run.start_all()
    few = "The server reported no start within 30 s; 0 collaborators were connected, 2 are needed (spec.server.minAvailableClients)"
    assert run.termination() == (1, {"reason": "QuorumNotReached", "message": few})


def test_a_lost_quorum_ends_the_run(pods: Make) -> None:
    run = pods(min_clients=2, PANAL_QUORUM_TIMEOUT="25")
    run.fault("site2", "wait")
    run.start_all("site1", "site2")
    run.logged("site2", "round 0 wait")
    run.kill("site2")
    code, end = run.termination()
    assert (code, end) == (1, {"reason": "QuorumLost", "message": "Fewer than 2 collaborators were connected for 25 s (1 now)"})


def test_a_termination_ends_all_processes_of_both_sides(pods: Make) -> None:
    run = pods(min_clients=1)
    run.fault("site1", "wait")
    run.start_all("site1")
    run.logged("site1", "round 0 wait")
    for name, code in (("server", 143), ("site1", 0)):
        process = run.processes[name]
        started = descendants(process.pid, parents())
        commands = [Path(f"/proc/{each}/cmdline").read_text() for each in started]
        assert len(started) > 1
        assert all("run.py\0flare\0start\0nvflare." in each for each in commands), commands  # the process of the job too
        process.terminate()
        assert process.wait(30) == code
        assert not [each for each in started if running(each)]


def test_a_site_runs_no_code_that_its_image_lacks(pods: Make) -> None:
    run = pods(min_clients=1)
    run.hub.start("site1")
    run.participate("site1")
    run.start_site("site1")
    run.logged("site1", "it is started again")  # it has found the job in its image, and no server yet
    run.image = Path(shutil.copytree(run.image, run.folder / "other"))
    (run.image / "app/custom/train.py").write_text("print('another program')")
    run.start_aggregator()
    code, end = run.termination()
    message = "FLARE ended the job with the status FINISHED:FAILED_TO_RUN"
    assert (code, end) == (1, {"reason": "ServerAppFailed", "message": message})
    assert "the image of this site has another app: custom/train.py differs" in run.log("server")
    assert "another program" not in run.log("site1")
