"""Runs with the real Flower in the Pods' programs: records, the stored model, and the end of each kind of failure."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]


@pytest.mark.oldest
def test_a_run_completes_with_its_rounds_recorded_and_its_model_stored(pods: Make) -> None:
    run = pods(rounds=1, min_clients=2)
    config_map = ConfigMap(rounds="2")  # one more than the aggregator was started with
    with reporting(run, config_map) as folder:
        run.start_all(run.app(evaluate=True))
        assert run.termination() == (
            0,
            {"reason": "Completed", "message": "Model of round 2 stored as pvc://models/out/team/digits/u-1/model.safetensors"},
        )

    model = load_file(folder / "model.safetensors")
    assert model["w"].tolist() == [2.0, 2.0, 2.0]
    assert (model["b"].tolist(), model["b"].shape) == (2.0, ())
    stored = json.loads((run.run_dir / "stored.json").read_text())["1"]
    assert stored["digest"] == "sha256:" + hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()

    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["clusters"] == {"site1": [1, 2], "site2": [1, 2]}
    assert metadata["rounds"]["server"]["2"] == {"judged": 2.0, "at": 2}
    assert metadata["app"]["fab_id"] == "panal/tiny"
    assert metadata["versions"].keys() == {"flwr", "numpy", "panal"}

    train = run.record(event="round", round=2, phase="train")
    assert train is not None
    assert (train["replies"], train["failures"], train["metrics"]) == (2, 0, {"loss": 2.0})
    assert train["collaborators"]["site2"]["metrics"] == {"loss": 3.0, "num-examples": 10}
    assert run.record(event="round", round=1, phase="evaluate", metrics={"accuracy": 0.5})
    assert [r["round"] for r in run.records() if r.get("phase") == "end"] == [1, 2]

    progress = config_map.progress
    assert (progress.attempt, progress.rounds_completed, progress.rounds_total, progress.connected) == ("job-1", 2, 2, 2)
    assert progress.metrics == {"loss": 2.0, "accuracy": 0.5, "judged": 2.0, "at": 2.0}
    assert progress.model is not None
    assert progress.model.digest == stored["digest"]
    # The app saw one result of two rounds, its own numbers (9 rounds, 7 nodes) notwithstanding, and nothing of ours.
    eventually(lambda: '"train": [1, 2], "judged": [0, 1, 2]' in run.log("superlink"), "the app's result", 10)
    assert "/v1/control/list-nodes" not in run.log("superlink")  # polls that went well are not in its log


@pytest.mark.oldest
def test_a_large_model_is_kept_in_files(pods: Make) -> None:
    run = pods(rounds=2, min_clients=2)
    with reporting(run, ConfigMap()) as folder:
        run.start_all(run.app(mode="large", numbers=3 << 20))  # 12 MiB: several objects, and several requests
        assert run.termination()[0] == 0
    model = load_file(folder / "model.safetensors")
    assert model["w"].shape == (3 << 20,)
    assert 0.4 < float(model["w"].mean()) < 0.6  # the average of two sites' random numbers
    train = run.record(event="round", round=2, phase="train")
    assert train is not None
    assert (train["replies"], train["failures"]) == (2, 0)
    logs = "".join(run.log(name) for name in ("superlink", "site1", "site2"))
    assert "stay in memory" not in logs
    assert "is not hooked" not in logs


@pytest.mark.oldest
def test_a_model_that_cannot_fit_the_memory_limit_is_refused_before_round_one(pods: Make, tmp_path: Path) -> None:
    cgroup = tmp_path / "cgroup"
    cgroup.mkdir()
    (cgroup / "memory.max").write_text(f"{100 << 20}\n")
    (cgroup / "memory.stat").write_text(f"anon {40 << 20}\nfile {900 << 20}\n")
    run = pods(rounds=1, min_clients=1, PANAL_CGROUP=str(cgroup))
    run.start_all(run.app(numbers=8 << 20), sites=1)  # 32 MiB, and three times as much while it is averaged
    code, found = run.termination()
    assert (code, found["reason"]) == (1, "ModelTooLarge")
    assert "needs 137 MiB, of which 40 MiB are in use before it, and the container superlink may have 100 MiB" in found["message"]
    assert not run.record(event="round")


def test_the_hub_holds_an_idle_nodes_request_until_there_is_a_message(pods: Make) -> None:
    run = pods(rounds=1)
    pulls: list[bytes] = []

    def count(path: str, _asked: bytes, answer: bytes) -> None:
        if path.endswith("/pull-messages"):
            pulls.append(answer)

    run.gateways.cut = count
    with reporting(run, ConfigMap()):
        app = run.app()
        run.start_superlink()
        run.app_hash = run.bundle(app)
        run.start_site("site1")
        run.connected("site1")
        time.sleep(5)  # the quorum is missing
        assert len(pulls) <= 3  # it would be 8 and more, each answered at once
        run.start_site("site2")
        run.start_launcher(app)
        assert run.termination()[0] == 0
    assert sum(bool(answer) for answer in pulls) >= 2


@pytest.mark.oldest
def test_a_run_ends_if_all_clients_raise_and_texts_stay_at_the_site(pods: Make) -> None:
    run = pods()
    run.start_all(run.app(mode="clients-raise"))
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "AllCollaboratorsFailed")
    assert "ValueError" in message["message"]
    attempts = [r for r in run.records() if r.get("phase") == "train"]
    assert [r["failed"] for r in attempts] == [{"site1": "ValueError", "site2": "ValueError"}] * 3
    assert "patient 4711 has a secret" in run.log("site1")
    assert "patient 4711" not in run.log("superlink") + run.log("launcher") + (run.run_dir / "progress.jsonl").read_text()


def test_a_client_that_raises_does_not_end_a_run_with_a_quorum(pods: Make) -> None:
    run = pods(min_clients=1)
    with reporting(run, ConfigMap()):
        app = run.app(mode="raises-at-site2")
        run.start_superlink()
        run.app_hash = run.bundle(app)
        run.start_site("site1")
        run.start_site("site2", {"PANAL_SHARE_ERRORS": "true"})
        run.connected("site1", "site2")
        run.start_launcher(app)
        assert run.termination()[0] == 0
    train = run.record(event="round", phase="train")
    assert train is not None
    assert (train["replies"], train["failures"], train["failed"]) == (1, 1, {"site2": "ValueError"})
    assert train["messages"] == {"site2": "patient 4711 has a secret"}  # its owner shares it


def test_a_server_app_that_raises_fails_the_run_with_its_message(pods: Make) -> None:
    run = pods(min_clients=1)
    run.start_all(run.app(mode="server-raises"), sites=1)
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "ServerAppFailed")
    assert "the server app's own words" in message["message"]
    eventually(lambda: "in main\n" in run.log("superlink") and "Traceback" in run.log("superlink"), "the traceback in the log", 10)


def test_a_run_without_messages_has_no_result(pods: Make) -> None:
    run = pods(min_clients=1)
    run.start_all(run.app(mode="no-training"), sites=1)
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "NoResult")


@pytest.mark.parametrize(("acceleration", "forked"), [("Auto", 1.0), ("Off", 0.0)])
def test_app_processes_are_forked_with_their_own_random_state(pods: Make, acceleration: str, forked: float) -> None:
    """Off: a new process for each message, as in Flower."""
    run = pods(rounds=2, min_clients=2, PANAL_ACCELERATION=acceleration)
    run.start_superlink()
    run.announce(run.app(mode="draws"))
    for name in ("site1", "site2"):
        run.start_site(name, {"PANAL_ACCELERATION": acceleration})
    eventually(lambda: run.record(event="model"), "the model")
    found = [c["metrics"] for r in run.records() if r.get("phase") == "train" for c in r["collaborators"].values()]
    assert [m["forked"] for m in found] == [forked] * 4
    assert len({m["drawn"] for m in found}) == 4
    assert ("no acceleration: spec.acceleration is Off" in run.log("site1")) == (acceleration == "Off")


def test_an_app_that_only_lists_nodes_has_no_result(pods: Make) -> None:
    run = pods(min_clients=1)
    run.start_all(run.app(mode="no-strategy"), sites=1)
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "NoResult")
    assert not run.record(event="started")


def test_too_few_collaborators_and_a_folder_without_an_app(pods: Make) -> None:
    run = pods(PANAL_QUORUM_TIMEOUT="2")
    run.start_superlink()
    run.start_launcher(run.app())
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "QuorumNotReached")
    assert "0 collaborators connected within 2 s, 2 are needed" in message["message"]
    run.start_launcher(run.run_dir)
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "AppInvalid")
    assert "no pyproject.toml with [tool.flwr.app]" in message["message"]


def test_who_has_replied_and_who_has_failed_is_known_while_a_round_waits(pods: Make, tmp_path: Path) -> None:
    run, config_map, held = pods(rounds=1, min_clients=1), ConfigMap(), tmp_path / "site3-1.held"
    held.touch()
    with reporting(run, config_map):
        app = run.app(mode="raises-at-site2", folder=str(tmp_path))
        run.start_superlink()
        run.app_hash = run.bundle(app)
        for site in ("site1", "site2", "site3"):
            run.start_site(site, {"PANAL_SHARE_ERRORS": "true"})
        run.connected("site1", "site2", "site3")
        run.start_launcher(app)
        waits = run.recorded(event="waiting", message="waits for site3")
        assert (waits["replied"], waits["failed"]) == (["site1"], {"site2": "ValueError"})
        assert waits["messages"] == {"site2": "patient 4711 has a secret"}
        eventually(lambda: config_map.progress.replied == ["site1"], "the reporter tells it", 20)
        assert config_map.progress.collaborators["site2"].failed
        held.unlink()
        assert run.termination()[0] == 0
    assert config_map.progress.replied == []
    assert run.recorded(event="round", phase="train")["collaborators"].keys() == {"site1", "site3"}


@pytest.mark.versions  # kill_suite has it on nodes
def test_a_killed_collaborator_does_not_end_the_run(pods: Make) -> None:
    run = pods(min_clients=2)
    app = run.app(mode="slow-at-site3")
    with reporting(run, ConfigMap()):
        run.start_superlink()
        run.app_hash = run.bundle(app)
        for site in ("site1", "site2", "site3"):
            run.start_site(site)
        run.connected("site1", "site2", "site3")
        run.start_launcher(app)
        eventually(lambda: "train message" in run.log("site3"), "site3 trains")
        run.kill("site3")
        assert run.termination()[0] == 0
    train = run.record(event="round", phase="train")
    assert train is not None
    assert (train["replies"], train["failures"], train["failed"]) == (2, 1, {"site3": "NodeUnavailable"})
    assert run.record(event="bundle", sha256=run.app_hash)  # the same from another process


def test_a_killed_superlink_ends_the_run_with_a_reason(pods: Make) -> None:
    run = pods(min_clients=1)
    run.start_all(run.app(mode="slow-at-site1"), sites=1)
    eventually(lambda: "train message" in run.log("site1"), "site1 trains")
    run.kill("superlink")
    run.start_superlink()  # as the kubelet does
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "AggregatorLost")
    # The SuperLink does not know the SuperNode, which ends with exit code 0. Its work is not done: it is started again.
    eventually(lambda: "the SuperNode ended with exit code 0" in run.log("site1"), "the SuperNode ends")
    eventually(lambda: run.log("site1").count("SuperNode ID") == 2, "it is connected again")


@pytest.mark.parametrize("acceleration", ["Auto", "Off"])
def test_a_terminated_superlink_has_exit_code_zero(pods: Make, acceleration: str) -> None:
    """The kubelet terminates the sidecar when the launcher has ended; kubectl shows its exit code."""
    run = pods(PANAL_ACCELERATION=acceleration)
    run.start_superlink()
    eventually(lambda: "Uvicorn running" in run.log("superlink"), "it serves")
    run.processes["superlink"].terminate()
    assert run.processes["superlink"].wait(30) == 0


def test_a_collaborator_retries_until_the_aggregator_is_available(pods: Make) -> None:
    run = pods(min_clients=1)
    run.app_hash = "0" * 64
    run.start_site("site1")
    eventually(lambda: "retrying" in run.log("site1"), "the gateway returns 503 without an aggregator")
    run.start_superlink()
    run.connected("site1")
    (node,) = [p for p in children(run.processes["site1"].pid) if "flower-supernode" in command(p)]
    os.kill(node, signal.SIGKILL)
    eventually(lambda: "ended with signal 9" in run.log("site1"), "the end is noticed")
    eventually(lambda: run.log("site1").count("SuperNode ID") == 2, "a second SuperNode is connected")
    assert "takes the place of" in run.log("superlink")
    assert "SecondCollaborator" not in run.log("superlink")  # it did not have to wait
    run.processes["site1"].send_signal(signal.SIGTERM)
    assert run.processes["site1"].wait(30) == 0
    assert not [p for p in processes() if f"--port {port_of(run, 'site1')} " in command(p)]


def test_a_collaborator_without_data_has_a_reason(pods: Make) -> None:
    run = pods()
    empty = run.folder / "data"
    empty.mkdir()
    for path, what in ((empty, "is empty"), (empty / "missing", "does not exist")):
        run.start_site("site1", {"PANAL_DATA_PATH": str(path)})
        assert run.termination("site1") == (1, {"reason": "DataNotFound", "message": f"The data at {path} {what}"})


def processes() -> list[int]:
    return [int(p.name) for p in Path("/proc").glob("[0-9]*")]


def children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def port_of(run: Pods, site: str) -> Any:
    return run.log(site).split("--port ")[1].split()[0]
