"""The containers of a run's Pods as processes on loopback: what the tests of every framework share."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from gateways import HUBS_SECRET, LOOPBACK, RUN, Hub, Spoke
from panal.api import names
from panal.api.types import Client, Server, Spec
from panal.pod.tools.install import install
from panal.runtimes.base import Runtime
from processes import free_port
from waiting import DEADLINE, eventually


@dataclass
class PodProcesses:
    """One run. `settings` go into the environment of the aggregator's containers, of which MAIN is the main one."""

    FRAMEWORK: ClassVar[str]
    MAIN: ClassVar[str]

    folder: Path
    settings: dict[str, str]
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    venv: Path = field(init=False)
    run_dir: Path = field(init=False)

    def launch(self, name: str, program: str, env: dict[str, str], cwd: Path) -> None:
        own = {"PATH": f"{self.venv}/bin:/usr/bin:/bin", "PANAL_TERMINATION_LOG": str(self.folder / f"{name}.termination")}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.venv / "bin/python"), str(self.folder / "tools/run.py"), self.FRAMEWORK, program],
                env=own | env,
                cwd=cwd,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

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

    def termination(self, name: str = "") -> tuple[int, dict]:
        """The exit code and termination message of a container, by default of the main one."""
        name = name or self.MAIN
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
        raise NotImplementedError

    def end(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@dataclass
class BehindGateways(PodProcesses):
    """With real gateways. The aggregator is one container; the image of both sides is the folder `image`, a copy of SOURCE."""

    RUNTIME: ClassVar[Runtime]
    SITE: ClassVar[str]  # the program of a site's container
    SOURCE: ClassVar[Path]
    PORT: ClassVar[str]  # the variable with the aggregator's port

    spokes: dict[str, Spoke] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = self.RUNTIME.gateway(Spec(framework=self.FRAMEWORK, server=Server(image="i"), client=Client(image="i")))
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
        (self.pod / "secret").write_text(HUBS_SECRET + "\n")
        install(self.folder / "tools")
        self.image = self.folder / "image"
        shutil.copytree(self.SOURCE, self.image, ignore=shutil.ignore_patterns("__pycache__"))

    def participate(self, *clusters: str) -> None:
        """The controller's and the reporter's part: which clusters take part."""
        (self.run_dir / "participants.part").write_text(json.dumps({"clusters": clusters}))
        (self.run_dir / "participants.part").replace(self.run_dir / "participants.json")
        self.hub.let_in(*clusters)

    def start(self, name: str, program: str, env: dict[str, str]) -> None:
        tmp = self.folder / f"tmp-{name}"
        tmp.mkdir(exist_ok=True)
        common = {
            "HOME": str(tmp),
            "TMPDIR": str(tmp),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PANAL_WORK_DIR": str(self.folder / ("work" if program == self.MAIN else f"work-{name}")),
        }
        self.launch(name, program, common | env, self.image)

    def start_aggregator(self) -> None:
        own = {"PANAL_RUN_DIR": str(self.run_dir), "PANAL_POD_DIR": str(self.pod), self.PORT: str(self.port)}
        self.start(self.MAIN, self.MAIN, own | self.settings)

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
        self.start(name, self.SITE, own)

    def fault(self, name: str, what: str) -> None:
        (self.folder / f"{name}.fault").write_text(what)

    def start_all(self, *sites: str) -> None:
        self.start_sites(*sites)
        self.start_aggregator()

    def start_sites(self, *sites: str) -> None:
        """All but the aggregator."""
        self.hub.start(*sites)
        self.participate(*sites)
        for index, site in enumerate(sites):
            self.start_site(site, index, len(sites))

    def end(self) -> None:
        super().end()
        for spoke in self.spokes.values():
            spoke.envoy.stop()
        self.hub.envoy.stop()


P = TypeVar("P", bound=PodProcesses)


@contextmanager
def maker(kind: type[P], folder: Path, round_timeout: int = 120) -> Iterator[Callable[..., P]]:
    """A function that makes a run with these rounds and clients, and further settings. All end with the block."""
    started: list[P] = []

    def make(rounds: int = 1, min_clients: int = 2, **settings: str) -> P:
        values = {
            "PANAL_ROUNDS": str(rounds),
            "PANAL_MIN_CLIENTS": str(min_clients),
            "PANAL_QUORUM_TIMEOUT": "120",
            "PANAL_ROUND_TIMEOUT": str(round_timeout),
        }
        started.append(kind(folder, values | settings))
        return started[-1]

    yield make
    for each in started:
        each.end()
