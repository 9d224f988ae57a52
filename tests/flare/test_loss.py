"""An aggregator is lost, and another one goes on with the next round: real FLARE, real gateways, the reporter and its storage."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from panal.pod.tools.flare.flare import descendants, parents
from reporting import ConfigMap, reporting
from waiting import DEADLINE, eventually

from .conftest import Pods

pytestmark = pytest.mark.flare

Make = Callable[..., Pods]
SITES = ("site1", "site2")
JOB = re.compile(r"\bnvflare\S*(runner|worker)_process\b")  # in the command of a job's process
FEDAVG = "nvflare.app_common.workflows.fedavg.FedAvg"


def configure(run: Pods, **workflow: object) -> None:
    """Changes the workflow in the image's job."""
    file = run.image / "app/config/config_fed_server.json"
    config = json.loads(file.read_text())
    config["workflows"][0].update(workflow)
    file.write_text(json.dumps(config))


def lost_after(run: Pods, config_map: ConfigMap, round_: int) -> None:
    """The first aggregator and the sites; it is lost in the round after `round_`, whose checkpoint is stored."""
    run.fault("site2", f"wait in {round_}")  # FLARE counts from 0
    with reporting(run, config_map):
        run.start_all(*SITES)
        run.logged("site2", f"round {round_} wait")
        assert run.record(event="notice", kind="NotResumable") is None
        eventually(lambda: "progress" in config_map.data and config_map.progress.checkpoint == round_, run.logs, DEADLINE)
    run.next_pod()


def process_of_job(run: Pods, name: str) -> int:
    """The process of the job in a container."""
    return next(each for each in descendants(run.processes[name].pid, parents()) if JOB.search(command(each)))


def rounds(run: Pods) -> list[tuple[int, list[str]]]:
    found = [each for each in run.records() if each["event"] == "round" and each["phase"] == "train"]
    return [(each["round"], sorted(each["collaborators"])) for each in found]


@pytest.mark.parametrize("workflow", ["ScatterAndGather", "FedAvg"])
def test_another_aggregator_goes_on_and_the_model_is_the_same(pods: Make, tmp_path: Path, workflow: str) -> None:
    run = pods(rounds=4)
    if workflow == "FedAvg":
        configure(run, path=FEDAVG, args={})
    config_map = ConfigMap(rounds="4")
    lost_after(run, config_map, 2)
    training = process_of_job(run, "site2")  # it has the task of a round that the next aggregator repeats
    with reporting(run, config_map) as folder:
        run.start_aggregator()
        eventually(lambda: not command(training), run.logs, DEADLINE)
        run.fault("site2", "")
        assert run.termination()[0] == 0, run.logs()
        assert [each["round"] for each in run.records() if each["event"] == "resumed"] == [2]
        assert rounds(run) == [(3, list(SITES)), (4, list(SITES))]
        progress = config_map.progress
        assert (progress.rounds_completed, progress.rounds_total) == (4, 4)
    model = (folder / "model.safetensors").read_bytes()
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["clusters"] == {site: [1, 2, 3, 4] for site in SITES}
    assert sorted(metadata["rounds"]["train"], key=int) == ["1", "2", "3", "4"]

    whole = run.folder / "whole"  # the same run without a loss: the sites stay
    run.kill("server")
    shutil.move(run.folder / "volume", whole)
    for each in (run.run_dir, run.folder / "work"):
        shutil.rmtree(each)
        each.mkdir()
    run.participate(*SITES)
    with reporting(run, ConfigMap(rounds="4")) as folder:
        run.start_aggregator()
        assert run.termination()[0] == 0, run.logs()
    assert [number for number, _ in rounds(run)] == [1, 2, 3, 4]
    assert (folder / "model.safetensors").read_bytes() == model


def test_a_run_whose_rounds_are_done_ends_with_the_model_of_its_checkpoint(pods: Make) -> None:
    """As after the loss of an aggregator that had no time to hand its model over."""
    run = pods(rounds=4)
    config_map = ConfigMap(rounds="2")
    lost_after(run, config_map, 2)
    run.fault("site2", "")
    run.settings["PANAL_ROUNDS"] = "2"
    with reporting(run, config_map):
        run.start_aggregator()
        code, end = run.termination()
    assert (code, end["reason"]) == (0, "Completed"), run.logs()
    assert end["message"].startswith("Model of round 2 stored")


def test_a_workflow_that_is_not_known_is_named_and_starts_again(pods: Make) -> None:
    run = pods(rounds=2)
    (run.image / "app/custom/own.py").write_text(
        "from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather\n\n\nclass Own(ScatterAndGather):\n    pass\n"
    )
    configure(run, path="own.Own")
    run.fault("site2", "wait in 1")
    config_map = ConfigMap(rounds="2")
    with reporting(run, config_map):
        run.start_all(*SITES)
        run.logged("site2", "round 1 wait")
        kinds = [each["event"] for each in run.records()]
        assert kinds.index("notice") < kinds.index("round")
        notice = run.record(event="notice", kind="NotResumable")
        assert notice is not None
        assert "the state of the workflow own.Own is not known" in notice["message"]
    run.next_pod()
    run.fault("site2", "")
    with reporting(run, config_map):
        run.start_aggregator()
        assert run.termination()[0] == 0, run.logs()
    assert [number for number, _ in rounds(run)] == [1, 2]


def test_a_killed_process_of_flare_is_a_lost_aggregator(pods: Make) -> None:
    run = pods(rounds=2)
    run.fault("site2", "wait in 1")
    run.start_all(*SITES)
    run.logged("site2", "round 1 wait")
    os.kill(process_of_job(run, "server"), signal.SIGKILL)
    code, end = run.termination()
    assert (code, end["reason"]) == (1, "AggregatorLost"), run.logs()
    assert "signal 9" in end["message"]


def command(process: int) -> str:
    """Empty if it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
