"""Runs with the real OpenFL through both real gateways: records, the stored model, and the end of each kind of failure."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from safetensors.numpy import load_file

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.openfl

Make = Callable[..., Pods]
STORED = "stored as pvc://models/out/team/digits/u-1/model.safetensors"

# Writes save/init.pbuf as `fx plan initialize` does, or prints what a file of OpenFL has.
WRITE_INITIAL = """
import numpy as np
from openfl.pipelines import NoCompressionPipeline
from openfl.protocols import utils
model = {"w": np.full((64, 10), 0.5, np.float32), "b": np.zeros((10,), np.float32)}
utils.dump_proto(utils.construct_model_proto(model, 9, NoCompressionPipeline()), "save/init.pbuf")
"""
READ = """
import sys, numpy as np
from openfl.protocols import utils
for each in utils.load_proto(sys.argv[1]).tensors:
    print(each.round_number, each.name, float(np.square(np.frombuffer(each.data_bytes, np.float32)).sum()))
"""


def python(run: Pods, script: str, *arguments: str) -> str:
    """The output of a script in OpenFL's environment, which uses nothing of panal."""
    command = [str(run.venv / "bin/python"), "-c", script, *arguments]
    return subprocess.run(command, cwd=run.image, capture_output=True, text=True, check=True).stdout


def phases(run: Pods, phase: str = "train") -> list[tuple[int, list[str], dict[str, str]]]:
    """The rounds with the clusters that replied, and those that failed."""
    found = [r for r in run.records() if r["event"] == "round" and r["phase"] == phase]
    return [(r["round"], sorted(r.get("collaborators", {})), r["failed"]) for r in found]


def test_a_run_completes_with_its_rounds_recorded_and_its_model_stored(pods: Make) -> None:
    run = pods(rounds=1)
    with reporting(run, ConfigMap(rounds="3")) as folder:  # two more than the aggregator was started with
        run.start_all("site1", "site2")
        assert run.termination() == (0, {"reason": "Completed", "message": f"Model of round 3 {STORED}"})
    found = [(r["round"], r["phase"]) for r in run.records() if r["event"] == "round"]
    assert found == [(number, phase) for number in (1, 2, 3) for phase in ("evaluate", "train", "end")]
    train = run.record(event="round", round=2, phase="train")
    assert train is not None
    assert (train["replies"], train["failures"], sorted(train["collaborators"])) == (2, 0, ["site1", "site2"])
    assert 0 < train["metrics"]["loss"] < 1
    evaluate = run.record(event="round", round=3, phase="evaluate")
    assert evaluate is not None
    assert evaluate["metrics"]["aggregated_model_validation/accuracy"] > 0.9
    model = load_file(folder / "model.safetensors")
    assert {name: each.shape for name, each in model.items()} == {"w": (64, 10), "b": (10,)}
    assert (folder / "files/model/best.pbuf").is_file()
    assert {f"shard {index} of 2" in run.log(f"site{index + 1}") for index in (0, 1)} == {True}


def test_a_workspace_of_the_former_controller_runs_as_it_is(pods: Make) -> None:
    """Its initial model is from a later round, data.yaml names a cluster, and the image is read-only."""
    run = pods(rounds=1)
    (run.image / "save").mkdir()
    python(run, WRITE_INITIAL)
    for path in (run.image, *run.image.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        with reporting(run, ConfigMap(rounds="1")) as folder:
            run.start_all("named", "site2")
            assert run.termination() == (0, {"reason": "Completed", "message": f"Model of round 1 {STORED}"})
    finally:
        for path in (run.image, *run.image.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
    assert "shard 7 of 2" in run.log("named")
    # The model has the first aggregation, and not the initial weights, whose squares add up to 160; so has OpenFL's own file.
    total = float((load_file(folder / "model.safetensors")["w"] ** 2).sum())
    assert total > 161
    rounds, names, sums = zip(*(line.split() for line in python(run, READ, str(folder / "files/model/last.pbuf")).splitlines()))
    assert (set(rounds), names, float(sums[0])) == ({"1"}, ("w", "b"), pytest.approx(total, rel=1e-4))


def test_a_round_goes_on_without_sites_whose_results_cannot_be_used(pods: Make) -> None:
    run = pods(rounds=2, min_clients=1)
    for site, what in (("site2", "raise"), ("site3", "nan"), ("site4", "shape")):
        run.fault(site, what)
    run.fault("site1", "wait in 0")
    with reporting(run, ConfigMap(rounds="2")):
        run.start_all("site1", "site2", "site3", "site4")
        run.recorded(event="connected", count=4)
        run.fault("site1", "")
        assert run.termination()[0] == 0
    failed = {"site2": "ValueError", "site3": "NotFinite", "site4": "ArraysDiffer"}
    assert phases(run) == [(1, ["site1"], failed), (2, ["site1"], failed)]
    assert "the secret of a patient" in run.log("site2")
    for file in (*run.run_dir.rglob("*"), run.folder / "aggregator.log"):
        assert not file.is_file() or b"secret of a patient" not in file.read_bytes()


def test_the_majority_decides_which_names_of_metrics_count(pods: Make) -> None:
    run = pods(rounds=2)
    run.fault("site1", "name")
    with reporting(run, ConfigMap(rounds="2")):
        run.start_all("site1", "site2", "site3")
        assert run.termination()[0] == 0
    failed = {"site1": "MetricsDiffer"}
    assert [each for each in phases(run) if "site3" in each[1]][-1] == (2, ["site2", "site3"], failed)
    text = "site1 has no part in it: MetricsDiffer: the results of train are not like those of most sites: loss is missing"
    assert f"round 2: {text}" in run.log("aggregator")


def test_a_run_in_which_no_site_has_data_to_train_on_names_them(pods: Make) -> None:
    run = pods(rounds=3)
    run.fault("site1", "empty")
    run.fault("site2", "empty")
    run.start_all("site1", "site2")
    message = "Round 1: 0 of 2 collaborators replied, 2 needed (site1: WeightInvalid, site2: WeightInvalid)"
    assert run.termination() == (1, {"reason": "AllCollaboratorsFailed", "message": message})
    assert "site2 has no part in it: WeightInvalid: the data set of train has the size 0, and so have those" in run.log("aggregator")


def test_a_run_in_which_every_site_raises_names_them(pods: Make) -> None:
    run = pods(rounds=3)
    run.fault("site1", "raise")
    run.fault("site2", "raise at start")
    run.start_all("site1", "site2")
    message = "Round 1: 0 of 2 collaborators replied, 2 needed (site1: ValueError, site2: OSError)"
    assert run.termination() == (1, {"reason": "AllCollaboratorsFailed", "message": message})
    assert phases(run) == [(1, [], {"site1": "ValueError", "site2": "OSError"})]


def test_an_exception_of_the_aggregation_ends_the_run(pods: Make) -> None:
    run = pods(min_clients=1)
    plan = "function: train_task\n    aggregation_type: {template: src.broken.Broken}"
    run.change_plan("function: train_task", plan)
    broken = "from openfl.interface.aggregation_functions import AggregationFunction\n\n\nclass Broken(AggregationFunction):\n"
    (run.image / "src/broken.py").write_text(f"{broken}    def call(self, *_):\n        return 1 / 0\n")
    with reporting(run, ConfigMap(rounds="1")):
        run.start_all("site1")
        code, end = run.termination()
    assert (code, end["reason"]) == (1, "ServerAppFailed")
    assert end["message"] == "OpenFL could not aggregate round 1: ZeroDivisionError: division by zero"


def test_a_run_without_enough_collaborators_ends(pods: Make) -> None:
    run = pods(min_clients=2, PANAL_QUORUM_TIMEOUT="3")
    run.start_all()
    run.participate("site1", "site2")
    message = "0 collaborators connected within 3 s, 2 are needed (spec.server.minAvailableClients)"
    assert run.termination() == (1, {"reason": "QuorumNotReached", "message": message})


def test_a_lost_quorum_ends_the_run(pods: Make) -> None:
    run = pods(rounds=2, PANAL_QUORUM_TIMEOUT="8")
    run.fault("site2", "wait in 0")
    run.start_sites("site1", "site2")
    for site in ("site1", "site2"):
        run.logged(site, "cannot be reached")
    run.start_aggregator()
    run.logged("site2", "shard")
    run.kill("site2")
    message = "Fewer than 2 collaborators were connected for 8 s (1 now)"
    assert run.termination() == (1, {"reason": "QuorumLost", "message": message})
    assert phases(run) == [(1, [], {"site2": "NoReply"})]


def test_a_round_ends_without_a_slow_site_which_joins_the_next(pods: Make) -> None:
    run = pods(rounds=2, min_clients=1, PANAL_ROUND_TIMEOUT="15")
    run.fault("site2", "wait in 0")
    with reporting(run, ConfigMap(rounds="2")):
        run.start_all("site1", "site2")
        run.recorded(event="round", round=1, phase="end")
        run.fault("site2", "")
        assert run.termination()[0] == 0
    assert phases(run) == [(1, ["site1"], {"site2": "NoReply"}), (2, ["site1", "site2"], {})]


def test_sites_rejoin_after_the_death_of_their_containers(pods: Make) -> None:
    run = pods(rounds=2)
    for site in ("site1", "site2"):
        run.fault(site, "wait in 0")
    with reporting(run, ConfigMap(rounds="2")):
        run.start_all("site1", "site2")
        run.recorded(event="started")
        run.logged("site1", "shard")
        run.spoke("site1").envoy.stop()
        run.kill("site2")
        run.logged("site1", "cannot be reached")
        run.spoke("site1").envoy.start()
        run.start_site("site2", 1)
        for site in ("site1", "site2"):
            run.fault(site, "")
        assert run.termination()[0] == 0
    assert phases(run) == [(1, ["site1", "site2"], {}), (2, ["site1", "site2"], {})]


def test_a_site_joins_during_the_run_and_another_leaves(pods: Make) -> None:
    run = pods(rounds=3, min_clients=1)
    run.fault("site1", "wait in 1")
    with reporting(run, ConfigMap(rounds="3")):
        run.start_all("site1", "site2")
        run.recorded(event="round", round=1, phase="end")
        run.participate("site1", "site3")
        run.start_site("site3", 2)
        run.logged("site3", "connected to the aggregator")
        run.logged("site3", "shard")
        run.fault("site1", "")
        assert run.termination()[0] == 0
    last = phases(run)[-1]
    assert (last[0], last[1]) == (3, ["site1", "site3"])
    assert "site2" not in phases(run)[1][1]


def test_collaborators_join_an_aggregator_that_replaces_another_and_stop_when_asked(pods: Make) -> None:
    run = pods(rounds=2, min_clients=1)
    run.fault("site1", "wait in 1")
    run.start_all("site1")
    run.recorded(event="round", round=1, phase="end")
    eventually(lambda: run.log("site1").count("shard") == 1, "the site is built")
    run.kill("aggregator")
    (run.run_dir / "progress.jsonl").unlink()
    run.fault("site1", "")
    with reporting(run, ConfigMap(rounds="2")):
        run.start_aggregator()
        assert run.termination()[0] == 0
    run.logged("site1", "the aggregator is another one; starting again")
    assert run.processes["site1"].poll() is None  # waits to be stopped
    run.processes["site1"].send_signal(signal.SIGTERM)
    assert run.processes["site1"].wait(5) == 0


def test_an_aggregator_ends_at_once_when_asked(pods: Make) -> None:
    run = pods()
    run.start_all()
    run.recorded(event="connected")
    run.processes["aggregator"].send_signal(signal.SIGTERM)
    assert run.processes["aggregator"].wait(5) == 143


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rounds_to_train: 10", "secure_aggregation: true\n    rounds_to_train: 10", "plan/plan.yaml sets aggregator.settings.secure_aggr"),
        ("network:", "networks:", "plan/plan.yaml is not a plan that OpenFL can read: KeyError: 'network'"),
        ("percentage: 0", "percentage: 0.5", "plan/plan.yaml has 2 task groups with a share in assigner.settings.task_groups, and"),
        ("src.taskrunner", "src.taskrunners", "The aggregator cannot be built from the workspace: ModuleNotFoundError: No module named"),
    ],
)
def test_an_unfit_workspace_is_refused(pods: Make, old: str, new: str, message: str) -> None:
    run = pods()
    run.change_plan(old, new)
    run.start_aggregator()
    code, end = run.termination()
    assert (code, end["reason"]) == (1, "AppInvalid")
    assert end["message"].startswith(message)


def test_an_image_without_a_workspace_or_without_openfl_is_refused(pods: Make) -> None:
    run = pods()
    (run.image / "plan/plan.yaml").unlink()
    run.start_aggregator()
    message = "The image holds no OpenFL workspace: there is no plan/plan.yaml in its working directory"
    assert run.termination() == (1, {"reason": "AppInvalid", "message": message})
    run.start("site1", "collaborator", {"PANAL_CLUSTER": "site1", "PANAL_DATA_PATH": str(run.folder / "missing")})
    assert run.termination("site1")[1]["reason"] == "DataNotFound"
    command = [sys.executable, str(run.folder / "tools/run.py"), "openfl", "collaborator"]
    env = {"PANAL_TERMINATION_LOG": str(run.folder / "none.termination")}
    done = subprocess.run(command, env=env, cwd=run.image, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OpenFLNotSupported: The image holds no OpenFL for its `python3`: install openfl==1.9 in it" in done.stdout
