"""What a run costs beside the training: bare Flower, panal with acceleration Off, and Auto, one after the other, REPEATS times.

    make test-flower                                      # once: Flower's environment
    .venv/bin/python benchmarks/flower_overhead.py [REPEATS [MEGABYTES]]

Two SuperNodes, a SuperLink and a three-round app that computes nothing, on loopback, each SuperNode by way of the same small proxy in the
place of the gateways. Reported are the seconds from submission to
finished and from the start of the first process to finished, the SuperLink's largest resident memory, and their ratios to bare Flower
in the same repeat: a busy machine slows all three. With MEGABYTES the model has as many, and the sites' updates differ.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from panal.pod.tools.files import RESUMED
from panal.pod.tools.flower.known import NEWEST, minor
from panal.pod.tools.install import install

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests/support"))
from standin_gateway import StandInGateways  # noqa: E402

VENV = ROOT / f".cache/flower-{minor(NEWEST)}"
APP = ROOT / "tests/flower/apps/tiny"
ROUNDS, NODES = 3, 2
WAYS = ("bare", "Off", "Auto")
SECRET = "Basic cGFuYWw6b2YtdGhpcy1wb2Q="
HASH = """
import hashlib, sys
from pathlib import Path
from panal_tools.flower.control import bundle_app
print(hashlib.sha256(bundle_app(Path(sys.argv[1]))).hexdigest())
"""
SUBMIT = """
import sys, time
from panal_tools.flower.control import Control, UnreachableError, bundle_app
from pathlib import Path
control = Control()
def ask(question):
    while True:
        try:
            return question()
        except UnreachableError:
            time.sleep(0.1)
while ask(control.online) < {nodes}:
    time.sleep(0.1)
began = time.monotonic()
run = ask(lambda: control.start(bundle_app(Path(sys.argv[1])), {{"own-rounds": {rounds}, "own-nodes": {nodes}}}))
while not (state := ask(lambda: control.state(run))).finished:
    time.sleep(0.1)
print(state.outcome, time.monotonic() - began)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Pods:
    """The processes of one run, in a folder of their own."""

    def __init__(self, way: str, folder: Path, megabytes: int = 0, app: Path = APP, nodes: int = NODES, rounds: int = ROUNDS) -> None:
        self.way, self.folder, self.port, self.nodes, self.rounds = way, folder, free_port(), nodes, rounds
        self.processes: list[subprocess.Popen[bytes]] = []
        install(folder / "tools")
        (folder / "run").mkdir()
        (folder / "run" / RESUMED).write_text("{}")  # as the reporter does if there is no checkpoint
        (folder / "pod").mkdir()
        (folder / "pod/secret").write_text(SECRET)
        self.gateways = StandInGateways(self.port, SECRET)
        shutil.copytree(app, folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        if megabytes:
            file = folder / "app/pyproject.toml"
            file.write_text(file.read_text().replace('mode = ""', 'mode = "large"').replace("numbers = 3", f"numbers = {megabytes << 18}"))
        self.app_hash = "" if way == "bare" else self.script(HASH)

    def script(self, text: str) -> str:
        done = subprocess.run(
            [str(VENV / "bin/python"), "-c", text, str(self.folder / "app")],
            env=self.environment("submit") | {"PYTHONPATH": str(self.folder / "tools")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{self.way}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def environment(self, name: str) -> dict[str, str]:
        tmp = self.folder / name
        tmp.mkdir(exist_ok=True)
        common = {"PATH": f"{VENV}/bin:/usr/bin:/bin", "PANAL_SUPERLINK_PORT": str(self.port), "OMP_NUM_THREADS": "1"}
        common["PANAL_POD_DIR"] = str(self.folder / "pod")
        flower = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "FLWR_HOME": str(tmp / "flwr"), "HOME": str(tmp)}
        ours = {
            "PANAL_TMP": str(tmp),
            "PANAL_RUN_DIR": str(self.folder / "run"),
            "PANAL_ROUNDS": str(self.rounds),
            "PANAL_MIN_CLIENTS": str(self.nodes),
        }
        site = {"PANAL_CLUSTER": name, "PANAL_ACCELERATION": self.way}
        log = {"PANAL_TERMINATION_LOG": str(tmp / "termination")}
        return common | (flower if self.way == "bare" else ours | site | log)

    def start(self, name: str, bare: list[str], ours: str, **env: str) -> None:
        command = bare if self.way == "bare" else [str(VENV / "bin/python"), str(self.folder / "tools/run.py"), "flower", ours]
        environment = self.environment(name) | env
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=self.folder)
            )

    def run(self) -> float:
        """Starts everything, submits, and returns the seconds from submission to the end."""
        self.start_aggregator()
        for number in range(self.nodes):
            port, config, gateway = str(free_port()), f'cluster-name="site{number}"', str(self.gateways.port(f"site{number}"))
            command = ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{gateway}", "--port", port, "--node-config", config]
            told = {"PANAL_SUPERNODE_PORT": port, "PANAL_GATEWAY_PORT": gateway, "PANAL_APP_HASH": self.app_hash}
            self.start(f"site{number}", command, "supernode", **told)
        return self.submit()

    def start_aggregator(self) -> None:
        runtime = "--disable-runtime-dependency-installation"
        self.start("superlink", ["flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(self.port), runtime], "superlink")

    def submit(self) -> float:
        outcome, seconds = self.script(SUBMIT.format(nodes=self.nodes, rounds=self.rounds)).split()[-2:]
        if outcome != "completed":
            raise SystemExit(f"{self.way}: {outcome}; see {self.folder}")
        return float(seconds)

    def memory(self) -> float:
        """The SuperLink's largest resident memory, in MiB."""
        status = Path(f"/proc/{self.processes[0].pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def end(self) -> None:
        for process in self.processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        self.gateways.close()
        for left in Path("/proc").glob("[0-9]*"):  # what these left behind
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in (left / "cmdline").read_bytes():
                    os.kill(int(left.name), signal.SIGKILL)


def measure(way: str, megabytes: int) -> tuple[float, float, float]:
    folder = Path(tempfile.mkdtemp(prefix="panal-benchmark-"))
    pods, began = Pods(way, folder, megabytes), time.monotonic()
    try:
        submitted = pods.run()
        return submitted, time.monotonic() - began, pods.memory()
    finally:
        pods.end()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    repeats, megabytes = (int(word) for word in (*sys.argv[1:], *("3", "0")[len(sys.argv) - 1 :]))
    ratios: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for number in range(repeats):
        bare: tuple[float, ...] = ()
        for way in WAYS:
            found = measure(way, megabytes)
            bare = bare or found
            ratios[way].append([one / other for one, other in zip(found, bare, strict=True)])
            told = zip(("submit to finished", "whole", "SuperLink"), found, ("s", "s", "MiB"), ratios[way][-1], strict=True)
            print(f"{number} {way:5}", *(f"{what} {value:6.1f} {unit} ({ratio:.2f})  " for what, value, unit, ratio in told), flush=True)
    for way in WAYS[1:]:
        submitted, whole, memory = (statistics.median(r[i] for r in ratios[way]) for i in range(3))
        print(f"median of {way}: submit to finished {submitted:.2f} of bare Flower, whole {whole:.2f}, SuperLink's memory {memory:.2f}")


if __name__ == "__main__":
    main()
