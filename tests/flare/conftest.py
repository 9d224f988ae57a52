"""An aggregator's and its collaborators' containers as processes on loopback: the real programs, real FLARE, real gateways, no Kubernetes.

FLARE has a separate environment, as in a user's image; PANAL_FLARE_VENV names it (`make test-flare` creates it).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateways import HUBS_SECRET, LOOPBACK, RUN, Hub, Spoke
from panal.api import names
from panal.api.types import Client, Server, Spec
from panal.pod.tools.files import RESUMED
from panal.pod.tools.flare.flare import descendants, parents
from panal.pod.tools.install import install
from panal.runtimes.flare import Flare
from processes import free_port
from waiting import DEADLINE, eventually

JOBS = Path(__file__).parent / "jobs"
REPOSITORY = Path(__file__).parents[2]


def flare_venv() -> Path:
    venv = Path(os.environ.get("PANAL_FLARE_VENV") or REPOSITORY / ".cache/flare-2.9")
    if not (venv / "bin/nvflare").exists():
        pytest.fail(f"no FLARE in {venv}: run `make test-flare`, or set PANAL_FLARE_VENV to an environment with nvflare==2.9.*")
    return venv


@dataclass
class Pods:
    """One run. `settings` go into the environment of the aggregator."""

    folder: Path
    settings: dict[str, str]
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    spokes: dict[str, Spoke] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.venv = flare_venv()
        rules = Flare().gateway(Spec(framework="flare", server=Server(image="i"), client=Client(image="i")))
        self.hub = Hub(
            self.folder / "hub",
            self.port,
            largest_request=rules.largest_request,
            protocol=rules.protocol,
            paths=rules.paths,
            methods=rules.methods,
        )
        self.run_dir, self.pod = self.folder / "run", self.folder / "pod"
        for folder in (self.run_dir, self.pod):
            folder.mkdir()
        (self.run_dir / RESUMED).write_text('{"round": 0}')  # there may be no reporter
        (self.pod / "secret").write_text(HUBS_SECRET + "\n")
        install(self.folder / "tools")
        self.image = self.folder / "image"
        shutil.copytree(JOBS / "digits", self.image, ignore=shutil.ignore_patterns("__pycache__"))

    def participate(self, *clusters: str) -> None:
        """The controller's and the reporter's part: which clusters take part."""
        (self.run_dir / "participants.part").write_text(json.dumps({"clusters": clusters}))
        (self.run_dir / "participants.part").replace(self.run_dir / "participants.json")
        self.hub.let_in(*clusters)

    def start(self, name: str, program: str, env: dict[str, str]) -> None:
        tmp = self.folder / f"tmp-{name}"
        tmp.mkdir(exist_ok=True)
        common = {
            "PATH": f"{self.venv}/bin:/usr/bin:/bin",
            "HOME": str(tmp),
            "TMPDIR": str(tmp),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PANAL_WORK_DIR": str(self.folder / ("work" if program == "server" else f"work-{name}")),
            "PANAL_TERMINATION_LOG": str(self.folder / f"{name}.termination"),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.venv / "bin/python"), str(self.folder / "tools/run.py"), "flare", program],
                env=common | env,
                cwd=self.image,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_server(self) -> None:
        own = {"PANAL_RUN_DIR": str(self.run_dir), "PANAL_POD_DIR": str(self.pod), "PANAL_FLARE_PORT": str(self.port)}
        self.start("server", "server", own | self.settings)

    def spoke(self, cluster: str) -> Spoke:
        """The gateway of a site, with the certificate of `cluster`."""
        if cluster not in self.spokes:
            pair, protocol = self.hub.collaborators.collaborator(cluster), names.protocol(RUN, cluster)
            found = Spoke(self.folder / f"gateway-{cluster}", (LOOPBACK, self.hub.port), pair, (self.hub.servers,), protocol)
            found.start()
            self.spokes[cluster] = found
        return self.spokes[cluster]

    def start_site(self, name: str, index: int = 0, count: int = 2, cluster: str = "", claims: str = "") -> None:
        """A collaborator that says that it is `claims`, behind the gateway of `cluster`; both are `name` if empty."""
        spoke = self.spoke(cluster or name)
        own = {
            "PANAL_CLUSTER": claims or name,
            "PANAL_PARTITION_ID": str(index),
            "PANAL_NUM_PARTITIONS": str(count),
            "PANAL_POD_DIR": str(spoke.pod),
            "PANAL_GATEWAY_PORT": str(spoke.port),
            "FAULT": str(self.folder / f"{name}.fault"),
        }
        self.start(name, "client", own)

    def fault(self, name: str, what: str) -> None:
        (self.folder / f"{name}.fault").write_text(what)

    def start_all(self, *sites: str) -> None:
        self.start_sites(*sites)
        self.start_server()

    def start_sites(self, *sites: str) -> None:
        """All but the aggregator."""
        self.hub.start(*sites)
        self.participate(*sites)
        for index, site in enumerate(sites):
            self.start_site(site, index, len(sites))

    def records(self) -> list[dict]:
        try:
            text = (self.run_dir / "progress.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]

    def record(self, **wanted: object) -> dict | None:
        return next((r for r in self.records() if all(r.get(k) == v for k, v in wanted.items())), None)

    def recorded(self, **wanted: object) -> dict:
        return eventually(lambda: self.record(**wanted), lambda: f"{wanted}\n{self.logs()}", DEADLINE)

    def termination(self, name: str = "server") -> tuple[int, dict]:
        """The exit code and termination message of a container."""
        try:
            code = self.processes[name].wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} runs:\n{self.logs()}") from None
        return code, json.loads((self.folder / f"{name}.termination").read_text())

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def logged(self, name: str, text: str) -> None:
        eventually(lambda: text in self.log(name), lambda: f"{text!r} in the log of {name}\n{self.logs()}", DEADLINE)

    def logs(self) -> str:
        return "\n".join(f"--- {name}:\n{self.log(name)[-3000:]}" for name in self.processes)

    def kill(self, name: str) -> None:
        """Ends a container with all of its processes, as the end of its process 1 does."""
        process = self.processes.pop(name)
        for each in [process.pid, *descendants(process.pid, parents())]:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.wait(20)

    def next_pod(self) -> None:
        """Kills the aggregator with all of its processes, and empties the volumes of its Pod. The storage stays."""
        self.kill("server")
        participants = (self.run_dir / "participants.json").read_bytes()
        for folder in (self.run_dir, self.folder / "work"):
            shutil.rmtree(folder)
            folder.mkdir()
        (self.run_dir / "participants.json").write_bytes(participants)

    def end(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        for spoke in self.spokes.values():
            spoke.envoy.stop()
        self.hub.envoy.stop()


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Callable[..., Pods]]:
    started: list[Pods] = []

    def make(rounds: int = 1, min_clients: int = 2, **settings: str) -> Pods:
        values = {
            "PANAL_ROUNDS": str(rounds),
            "PANAL_MIN_CLIENTS": str(min_clients),
            "PANAL_QUORUM_TIMEOUT": "120",
            "PANAL_ROUND_TIMEOUT": "120",
        }
        started.append(Pods(tmp_path, values | settings))
        return started[-1]

    yield make
    for each in started:
        each.end()
