"""The programs of the runtime `other` as processes, with commands of every kind, among them the example: one reporter, no Kubernetes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from panal.pod.reporter import Reporter
from panal.pod.settings import Settings
from panal.pod.tools.install import install
from processes import free_port
from reporting import ConfigMap, Gateway
from standin_gateway import StandInGateways
from waiting import eventually

EXAMPLE = Path(__file__).parents[4] / "examples/plain"
SECRET = "Basic cGFuYWw6b2YtdGhpcy1wb2Q="


class Pods:
    """One attempt of a run: `settings` go into the environment of the aggregator's container, whose working directory in the image is
    `image`. Attempts with the same `volume` are of the same run."""

    def __init__(self, folder: Path, image: Path, volume: Path, settings: dict[str, str]) -> None:
        self.folder, self.image, self.volume, self.settings = folder, image, volume, settings
        self.run_dir, self.port = folder / "run", free_port()
        self.sink, self.processes = ConfigMap(), {}
        self.gateways = StandInGateways(self.port, SECRET)
        for each in (self.run_dir, folder / "pod", volume):
            each.mkdir(exist_ok=True)
        (folder / "pod/secret").write_text(SECRET + "\n")
        install(folder / "tools")
        self._reporter = Reporter(self._reporters_settings(), self.sink, Gateway())
        self._thread = Thread(target=lambda: asyncio.run(self._reporter.run()))
        self._thread.start()

    def _reporters_settings(self) -> Settings:
        run = {"PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": "u", "PANAL_ATTEMPT": "job-1"}
        places = {"PANAL_RUN_DIR": str(self.run_dir), "PANAL_WORK_DIR": str(self.folder / "work-server")}
        return Settings.read(run | places | {"PANAL_STORAGE_DIR": str(self.volume), "PANAL_STORAGE_URI": "pvc://models"})

    def server(self, *command: str) -> None:
        usual = {"PANAL_ROUNDS": "2", "PANAL_MIN_CLIENTS": "2", "PANAL_QUORUM_TIMEOUT": "60", "PANAL_ROUND_TIMEOUT": "60"}
        self._start("server", "aggregator", command, usual | {"PANAL_RUN_DIR": str(self.run_dir), "PANAL_SERVER_PORT": str(self.port)})

    def client(self, cluster: str, *command: str, number: int = 0, data: str = "", certificate: str = "") -> None:
        env = {"PANAL_PARTITION_ID": str(number), "PANAL_NUM_PARTITIONS": "2", "PANAL_DATA_PATH": data, "PANAL_CLUSTER": cluster}
        self._start(cluster, "collaborator", command, env | {"PANAL_GATEWAY_PORT": str(self.gateways.port(certificate or cluster))})

    def _start(self, name: str, program: str, command: tuple[str, ...], env: dict[str, str]) -> None:
        work = self.folder / f"work-{name}"
        work.mkdir(exist_ok=True)
        common = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PANAL_POD_DIR": str(self.folder / "pod"),
            "PANAL_SECRET_FILE": str(self.folder / "pod/secret"),
            "PANAL_WORK_DIR": str(work),
            "PANAL_MODEL": str(work / "model.npz"),
            "PANAL_PROGRESS": str(self.run_dir / "progress.jsonl"),
            "PANAL_PARTICIPANTS": str(self.run_dir / "participants.json"),
            "PANAL_CHECKPOINTS": str(self.run_dir / "own-checkpoints"),
            "PANAL_TERMINATION_LOG": str(self.folder / f"{name}.termination"),
        }
        words = [sys.executable, str(self.folder / "tools/run.py"), "other", program, *command]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(words, env=common | env | self.settings, cwd=self.image, stdout=log, stderr=log)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def ended(self, name: str) -> tuple[int, dict[str, Any]]:
        """Exit code and termination message."""
        code = self.processes[name].wait(60)
        file = self.folder / f"{name}.termination"
        return code, json.loads(file.read_text()) if file.exists() else {}

    def records(self, event: str) -> list[dict[str, Any]]:
        file = self.run_dir / "progress.jsonl"
        found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [record for record in found if record["event"] == event]

    def stored(self, name: str) -> Path:
        return self.volume / "team/digits/u" / name

    def end(self) -> None:
        if not self._thread.is_alive():
            return
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(30)
        self._reporter.stop.set()
        self._thread.join(30)
        self.gateways.close()


Make = Callable[..., Pods]


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Make]:
    started: list[Pods] = []

    def make(image: Path | None = None, volume: str = "volume", **settings: str) -> Pods:
        folder = tmp_path / f"attempt-{len(started)}"
        folder.mkdir()
        if image is None:
            image = folder / "image"
            image.mkdir()
        started.append(Pods(folder, image, tmp_path / volume, settings))
        return started[-1]

    yield make
    for each in started:
        each.end()


def script(run: Pods, text: str) -> tuple[str, ...]:
    """A command of the image."""
    (run.image / "script.py").write_text(text)
    return "python3", "script.py"


def example(run: Pods, clusters: int = 2) -> None:
    run.server("python3", "server.py")
    for number in range(clusters):
        run.client(f"cluster{number + 1}", "python3", "client.py", number=number)


REPORT = """
import json, os, sys, time
def report(event, **fields):
    with open(os.environ["PANAL_PROGRESS"], "a") as file:
        file.write(json.dumps({"event": event, **fields}) + "\\n")
def round(number, replies=1):
    report("round", round=number, phase="train", replies=replies, failures=0, metrics={"loss": 1 / number})
    report("round", round=number, phase="end")
"""

EVIL = """
import os, time, urllib.request as u
url, headers = "http://" + os.environ["PANAL_ADDRESS"], {"x-panal-pod": open(os.environ["PANAL_SECRET_FILE"]).read().strip()}
while True:
    time.sleep(0.2)
    try:
        asked = u.urlopen(u.Request(url, None, headers))
        u.urlopen(u.Request(url, b"PK", {**headers, "x-round": asked.headers["x-round"]}))
    except OSError:
        pass
"""


def test_the_example_trains_and_its_model_is_stored(pods: Make) -> None:
    run = pods(EXAMPLE, PANAL_ROUNDS="3")
    example(run)
    code, message = run.ended("server")
    assert (code, message["reason"]) == (0, "Completed"), run.log("server")
    assert message["message"] == "Model of round 3 stored as pvc://models/team/digits/u/model.safetensors"
    model = load_file(run.stored("model.safetensors"))
    assert {name: array.shape for name, array in model.items()} == {"w": (20, 10), "b": (10,)}
    losses = [r["metrics"]["loss"] for r in run.records("round") if r["phase"] == "train"]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(np.log(10))
    metadata = json.loads(run.stored("metadata.json").read_text())
    assert metadata["clusters"] == {"cluster1": [1, 2, 3], "cluster2": [1, 2, 3]}
    assert metadata["metrics"] == {"loss": losses[-1]}
    progress = eventually(lambda: run.sink.progress if run.sink.progress.result else None, "the result is reported")
    assert (progress.rounds_completed, progress.rounds_total, progress.result) == (3, 3, "Model")
    assert progress.collaborators["cluster1"].metrics["loss"] < 2.4
    eventually(lambda: "exit code 0" in run.log("cluster1"), "the client hears of the end")
    assert run.processes["cluster1"].poll() is None, "it waits: Kubernetes would start it again"


STOPS_AFTER_TWO = """
import server
train = server.train
def at_most_two(of):
    of.changed.wait_for(lambda: of.round < 2)
    train(of)
server.train = at_most_two
server.main()
"""


def test_the_example_goes_on_from_its_checkpoint_to_the_same_model(pods: Make) -> None:
    lost = pods(EXAMPLE, PANAL_ROUNDS="4")
    lost.server("python3", "-c", STOPS_AFTER_TWO)
    for number in range(2):
        lost.client(f"cluster{number + 1}", "python3", "client.py", number=number)
    eventually(lambda: lost.sink.progress.checkpoint == 2, lambda: lost.log("server"))
    os.kill(child(lost, "server"), signal.SIGKILL)
    code, message = lost.ended("server")
    assert (code, message["reason"]) == (1, "AggregatorLost")
    assert not lost.sink.progress.notices
    lost.end()
    successor, undisturbed = pods(EXAMPLE, PANAL_ROUNDS="4"), pods(EXAMPLE, "another volume", PANAL_ROUNDS="4")
    for run in (successor, undisturbed):
        example(run)
        assert run.ended("server")[0] == 0, run.log("server")
    assert [r["round"] for r in successor.records("round") if r["phase"] == "end"] == [3, 4]
    model, wanted = (load_file(run.stored("model.safetensors")) for run in (successor, undisturbed))
    assert {name: array.tobytes() for name, array in model.items()} == {name: array.tobytes() for name, array in wanted.items()}
    about, same = (json.loads(run.stored("metadata.json").read_text()) for run in (successor, undisturbed))
    assert (about["clusters"], about["rounds"]) == (same["clusters"], same["rounds"])
    assert about["clusters"] == {"cluster1": [1, 2, 3, 4], "cluster2": [1, 2, 3, 4]}
    progress = eventually(lambda: successor.sink.progress if successor.sink.progress.result else None, "the result is reported")
    assert (progress.rounds_completed, progress.rounds_total) == (4, 4)
    eventually(lambda: not successor.stored("checkpoints").exists(), "the checkpoints are removed")


def test_an_aggregator_that_is_lost_after_the_last_round_leaves_its_model_to_the_next(pods: Make) -> None:
    save = "part = os.environ['PANAL_CHECKPOINTS'] + '/part'; os.mkdir(part); open(part + '/m', 'w').write('ok'); "
    save += "os.rename(part, os.environ['PANAL_CHECKPOINTS'] + '/1'); time.sleep(99)"
    lost = pods()
    lost.server(*script(lost, REPORT + "report('started', rounds=1, checkpoints=True); round(1); " + save))
    eventually(lambda: lost.sink.progress.checkpoint == 1, lambda: lost.log("server"))
    orphan = child(lost, "server")
    lost.processes["server"].kill()
    os.kill(orphan, signal.SIGKILL)
    lost.end()
    run = pods()
    load = (
        "import numpy; at = os.environ['PANAL_RESUME']; numpy.savez(os.environ['PANAL_MODEL'], a=numpy.ones(len(open(at + '/m').read())))"
    )
    resume = "report('resumed', round=int(os.environ['PANAL_RESUME_ROUND'])); report('started', rounds=1, checkpoints=True); "
    run.server(*script(run, REPORT + resume + load))
    code, message = run.ended("server")
    assert (code, message["message"]) == (0, "Model of round 1 stored as pvc://models/team/digits/u/model.safetensors"), run.log("server")
    assert load_file(run.stored("model.safetensors"))["a"].tolist() == [1.0, 1.0]
    assert json.loads(run.stored("metadata.json").read_text())["rounds"] == {"train": {"1": {"loss": 1.0}}}


def test_the_example_reads_the_sites_data(pods: Make) -> None:
    run = pods(EXAMPLE, PANAL_MIN_CLIENTS="1")
    data = run.folder / "data"
    data.mkdir()
    np.savez(data / "train.npz", x=np.ones((8, 20)), y=np.full(8, 3))
    run.server("python3", "server.py")
    run.client("cluster1", "python3", "client.py", data=str(data))
    assert run.ended("server")[0] == 0, run.log("server")
    assert load_file(run.stored("model.safetensors"))["b"].argmax() == 3


def test_a_killed_client_of_the_example_takes_part_again(pods: Make) -> None:
    run = pods(EXAMPLE, PANAL_ROUNDS="400")
    example(run)
    eventually(lambda: len(run.records("round")) > 4, "some rounds")
    os.kill(child(run, "cluster1"), signal.SIGKILL)
    assert run.ended("cluster1")[0] == 137, "the kubelet starts the container again"
    rounds = len(run.records("round"))
    run.client("cluster1", "python3", "client.py")
    eventually(lambda: len(run.records("round")) > rounds + 10, "further rounds")
    assert all(r["replies"] == 2 for r in run.records("round") if r["phase"] == "train"), "no round went on without it"


def child(run: Pods, name: str) -> int:
    (pid,) = Path(f"/proc/{run.processes[name].pid}/task/{run.processes[name].pid}/children").read_text().split()
    return int(pid)


@pytest.mark.parametrize("secret", [SECRET, "Basic wrong", ""])
def test_the_example_refuses_whoever_did_not_come_through_the_gateway(pods: Make, secret: str) -> None:
    run = pods(EXAMPLE)
    run.server("python3", "server.py")
    asked = "import sys, http.client as h; c = h.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20); "
    asked += "c.request(sys.argv[3], '/', headers={'x-panal-pod': sys.argv[2]}); print(c.getresponse().status)"

    def status(method: str) -> str:
        words = [sys.executable, "-c", asked, str(run.port), secret, method]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    eventually(lambda: status("GET"), "the server answers")
    assert (status("GET"), status("POST")) == ("401", "401"), "nobody is named"


def test_a_reply_that_does_not_fit_costs_its_site_alone(pods: Make) -> None:
    run = pods(EXAMPLE, PANAL_MIN_CLIENTS="1", PANAL_ROUNDS="400")
    run.server("python3", "server.py")
    run.client("cluster1", "python3", "client.py")
    run.client("cluster2", "python3", "-c", EVIL)
    eventually(lambda: any(r.get("failed") for r in run.records("round")), "it is named")
    assert all(r["failed"] in ({}, {"cluster2": "ReplyInvalid"}) for r in run.records("round") if r["phase"] == "train")
    assert all(r["replies"] == 1 for r in run.records("round") if r["phase"] == "train")
    assert run.processes["server"].poll() is None


def test_files_of_the_working_directory_are_kept_with_the_model_or_without(pods: Make) -> None:
    run = pods()
    (run.image / "given.txt").write_text("of the image")
    run.server(*script(run, REPORT + "report('started', rounds=1); round(1); open('own.txt', 'w').write('ok')"))
    code, message = run.ended("server")
    assert (code, message["message"]) == (0, "The app has ended; it has left 1 files, and no model"), run.log("server")
    assert run.stored("files/own.txt").read_text() == "ok"
    assert not (run.image / "own.txt").exists()
    eventually(lambda: run.sink.progress.result == "Files", "the result is reported")


@pytest.mark.parametrize(
    ("text", "settings", "reason", "message"),
    [
        ("sys.exit(3)", {}, "ServerAppFailed", "The server ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", {}, "AggregatorLost", "The server ended with signal 9 (Killed)"),
        ("round(1); open(os.environ['PANAL_MODEL'], 'w').write('PK'); os.kill(os.getpid(), 9)", {}, "AggregatorLost", "signal 9 (Killed)"),
        ("report('resumed', round=1); time.sleep(99)", {}, "ServerAppFailed", "goes on after round 1, but it has no checkpoint"),
        ("", {}, "NoResult", "The server app ended without a reply that counts from any site"),
        ("report('started', rounds=1); round(1, replies=0)", {}, "NoResult", "The server app ended without a reply that counts"),
        ("round(1)", {"PANAL_RESULT": "Model"}, "ModelMissing", "The server app ended without a model"),
        ("report('stopped', reason='QuorumLost', message='two were away'); sys.exit(1)", {}, "QuorumLost", "two were away"),
        ("round(1); report('stopped', reason='QuorumLost')", {}, "QuorumLost", ""),
        ("round(1); report('stopped', reason='OfMyOwn', message='x')", {}, "ServerAppFailed", "The server stopped the run: OfMyOwn: x"),
        ("round(1); report('stopped', reason='Completed', message='x')", {}, "ServerAppFailed", "The server stopped the run: Completed: x"),
        ("open(os.environ['PANAL_MODEL'], 'w').write('PK'); round(1); sys.exit(3)", {}, "ServerAppFailed", "ended with exit code 3"),
        ("os.mkdir(os.environ['PANAL_MODEL']); round(1)", {}, "ArraysNotStorable", "is not a file"),
        (
            "path = os.environ['PANAL_PROGRESS']; os.path.exists(path) and os.unlink(path); os.mkfifo(path); time.sleep(99)",
            {"PANAL_QUORUM_TIMEOUT": "1"},
            "QuorumNotReached",
            "it did not report how many collaborators were connected",
        ),
        (
            "report('started', rounds=1); time.sleep(99)",
            {"PANAL_ROUND_TIMEOUT": "-59"},
            "ServerAppFailed",
            "The server reported no round for",
        ),
        ("report('connected', count=1); time.sleep(99)", {"PANAL_QUORUM_TIMEOUT": "1"}, "QuorumNotReached", "1 collaborators were"),
        (
            "report('started', rounds=1); report('connected', count=1); time.sleep(99)",
            {"PANAL_QUORUM_TIMEOUT": "1"},
            "QuorumLost",
            "Fewer than 2 collaborators were connected for 1 s (1 now)",
        ),
        ("open(os.environ['PANAL_MODEL'], 'w').write('x'); round(1)", {}, "ArraysNotStorable", "is not an npz file"),
        (
            "import numpy; numpy.savez(os.environ['PANAL_MODEL'], a=numpy.array([{}])); round(1)",
            {},
            "ModelNotStored",
            "The model could not be written to pvc://models/team/digits/u: array 'a' has pickled objects; only numbers can be stored",
        ),
    ],
)
def test_every_end_has_a_reason(pods: Make, text: str, settings: dict[str, str], reason: str, message: str) -> None:
    run = pods(**settings)
    run.server(*script(run, REPORT + text))
    code, said = run.ended("server")
    assert (code, said["reason"]) == (1, reason), run.log("server")
    assert message in said["message"]


def test_lines_that_are_no_records_are_in_the_log(pods: Make) -> None:
    run = pods()
    run.server(*script(run, REPORT + "report('round', round=1, replies=1); report('rounds'); round(1)"))
    assert run.ended("server")[0] == 0, run.log("server")
    assert "missing 1 required keyword-only argument: 'phase'" in run.log("server")
    assert "a line of PANAL_PROGRESS is ignored: it is not JSON, or its event is unknown" in run.log("server")


def test_the_log_has_no_arguments_of_the_command(pods: Make) -> None:
    run = pods()
    run.client("cluster1", "true", "--token=secret")
    eventually(lambda: "starting true with 1 arguments" in run.log("cluster1"), "it is started")
    assert "secret" not in run.log("cluster1")


def test_libraries_beside_the_programs_are_there(pods: Make) -> None:
    run = pods()
    (run.image / "node_modules").mkdir()
    (run.image / "node_modules/x").write_text("of the image")
    run.client("cluster1", "cat", "node_modules/x")
    eventually(lambda: "of the image" in run.log("cluster1"), "the command finds it")


def test_all_processes_of_a_command_hear_of_the_end(pods: Make) -> None:
    run = pods()
    run.client("cluster1", "sh", "-c", "(trap 'sleep 1; echo saved; exit' TERM; echo ready; while :; do sleep 0.1; done) & wait")
    eventually(lambda: "ready" in run.log("cluster1"), "it runs")
    run.processes["cluster1"].send_signal(signal.SIGTERM)
    assert run.processes["cluster1"].wait(30) == 0
    assert "saved" in run.log("cluster1")


def test_numbers_that_are_not_finite_are_a_notice(pods: Make) -> None:
    run = pods()
    text = "import numpy; numpy.savez(os.environ['PANAL_MODEL'], a=numpy.ones(3), b=numpy.array([1, numpy.nan])); round(1)"
    run.server(*script(run, REPORT + text))
    assert run.ended("server")[0] == 0, run.log("server")
    eventually(lambda: run.sink.progress.result, "the result is reported")
    assert run.sink.progress.notices["ModelSuspect"] == "b with NaN or infinity"


def test_a_server_that_is_stopped_ends_with_its_processes(pods: Make) -> None:
    run = pods()
    run.server(
        *script(run, REPORT + "import subprocess; subprocess.Popen(['sleep', '99.125']); report('connected', count=1); time.sleep(99)")
    )
    eventually(lambda: run.records("connected"), "it runs")
    run.processes["server"].send_signal(signal.SIGTERM)
    assert run.processes["server"].wait(30) == 143
    left = subprocess.run(["pgrep", "-f", "^sleep 99.125"], capture_output=True, text=True, check=False).stdout
    assert left == ""


def test_commands_that_cannot_start_name_their_field(pods: Make) -> None:
    run = pods()
    run.server("no-such-program")
    run.client("cluster1", "./no-such-file", "x")
    run.client("cluster2")
    empty = run.folder / "empty"
    empty.mkdir()
    run.client("cluster3", "true", data=str(empty))
    code, said = run.ended("server")
    assert (code, said["reason"]) == (1, "AppInvalid")
    assert said["message"] == "spec.server.command: no-such-program cannot be started: No such file or directory"
    code, said = run.ended("cluster1")
    assert (code, said["reason"]) == (1, "AppInvalid")
    assert said["message"] == "spec.client.command: ./no-such-file cannot be started: No such file or directory"
    assert run.ended("cluster2") == (1, {"reason": "InvalidSpec", "message": "spec.client.command is empty"})
    assert run.ended("cluster3")[1]["reason"] == "DataNotFound"


def test_a_client_ends_with_the_exit_code_of_its_command(pods: Make) -> None:
    run = pods()
    run.client("cluster1", "sh", "-c", "exit 7")
    run.client("cluster2", "sh", "-c", "kill -9 $$")
    run.client("cluster3", "sleep", "99")
    assert (run.ended("cluster1")[0], run.ended("cluster2")[0]) == (7, 137)
    eventually(lambda: "starting" in run.log("cluster3"), "it handles signals")
    run.processes["cluster3"].send_signal(signal.SIGTERM)
    assert run.ended("cluster3")[0] == 0
