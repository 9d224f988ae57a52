"""An aggregator's and its collaborators' containers as processes on loopback: the real programs, real Flower, no Kubernetes.

A proxy that adds the cluster to each request stands in for the gateways (`standin_gateway`).
Flower has a separate environment, as in a user's image; PANAL_FLOWER_VENV names it (`make test-flower` creates it).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from panal.pod.tools.files import RESUMED
from panal.pod.tools.flower.known import NEWEST, PIN, minor
from panal.pod.tools.install import install
from pod_processes import PodProcesses, maker
from processes import free_port
from standin_gateway import StandInGateways
from waiting import eventually

APPS = Path(__file__).parent / "apps"
SECRET = "Basic cGFuYWw6b2YtdGhpcy1wb2Q="
REPOSITORY = Path(__file__).parents[2]


def flower_venv() -> Path:
    venv = Path(os.environ.get("PANAL_FLOWER_VENV") or REPOSITORY / f".cache/flower-{minor(NEWEST)}")
    if not (venv / "bin/flower-superlink").exists():
        pytest.fail(f"no Flower in {venv}: run `make test-flower`, or set PANAL_FLOWER_VENV to an environment with {PIN} and numpy")
    return venv


@dataclass
class Pods(PodProcesses):
    FRAMEWORK, MAIN = "flower", "launcher"

    app_hash: str = ""  # the app hash that is announced to sites

    def __post_init__(self) -> None:
        self.venv = flower_venv()
        self.gateways = StandInGateways(self.port, SECRET)
        (self.folder / "pod").mkdir()
        (self.folder / "pod/secret").write_text(SECRET + "\n")
        self.run_dir = self.folder / "run"
        self.run_dir.mkdir()
        (self.run_dir / RESUMED).write_text('{"round": 0}')  # there may be no reporter
        install(self.folder / "tools")

    def app(self, name: str = "tiny", **config: object) -> Path:
        """A copy of the app with `config` in its run config."""
        target = self.folder / "app"
        shutil.copytree(APPS / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        file = target / "pyproject.toml"
        text = file.read_text()
        for key, value in config.items():
            text, changed = re.subn(rf"(?m)^{key} = .*$", f"{key} = {json.dumps(value)}", text)
            assert changed == 1, f"{name} declares no {key}"
        file.write_text(text)
        return target

    def start(self, name: str, program: str, env: dict[str, str]) -> None:
        tmp = self.folder / f"tmp-{name}"
        tmp.mkdir(exist_ok=True)
        common = {
            "PANAL_RUN_DIR": str(self.run_dir),
            "PANAL_POD_DIR": str(self.folder / "pod"),
            "PANAL_TMP": str(tmp),
            "PANAL_WORK_DIR": str(self.folder / ("work" if name in ("superlink", "launcher") else f"work-{name}")),
            "PANAL_SUPERLINK_PORT": str(self.port),
        }
        self.launch(name, program, common | env, tmp)

    def start_superlink(self) -> None:
        self.start("superlink", "superlink", self.settings)

    def start_launcher(self, app: Path) -> None:
        self.start("launcher", "launcher", self.settings | {"PANAL_APP_DIR": str(app)})

    def start_site(self, name: str, env: dict[str, str] | None = None, cluster: str = "") -> None:
        """Starts a collaborator with the announced app hash. `cluster` is the cluster of its certificate."""
        own = {
            "PANAL_CLUSTER": name,
            "PANAL_GATEWAY_PORT": str(self.gateways.port(cluster or name)),
            "PANAL_SUPERNODE_PORT": str(free_port()),
            "PANAL_APP_HASH": self.app_hash,
            "PANAL_FLOWER_VERSION": (self.record(event="bundle") or {}).get("version", ""),
        }
        self.start(name, "supernode", own | (env or {}))

    def lose_aggregator(self) -> None:
        """Kills the aggregator's containers. The next ones have volumes of their own; the sites stay."""
        for name in ("launcher", "superlink"):
            self.kill(name)
        number = len(list(self.folder.glob("run-*"))) + 2
        self.run_dir = self.folder / f"run-{number}"
        self.run_dir.mkdir()
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        for name in ("launcher", "superlink"):
            (self.folder / f"{name}.log").rename(self.folder / f"{name}-{number - 1}.log")

    def announce(self, app: Path) -> None:
        """Starts the launcher, and reads the app hash that it announces."""
        self.start_launcher(app)
        self.app_hash = eventually(lambda: self.record(event="bundle"), "the app's hash")["sha256"]

    def bundle(self, app: Path) -> str:
        """The app hash, computed by a separate process."""
        script = "import sys, hashlib; from pathlib import Path; from panal_tools.flower.control import bundle_app as b; "
        script += "print(hashlib.sha256(b(Path(sys.argv[1]))).hexdigest())"
        env = {"PYTHONPATH": str(self.folder / "tools"), "PATH": "/usr/bin:/bin", "HOME": str(self.folder)}
        command = [str(self.venv / "bin/python"), "-c", script, str(app)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    def connected(self, *sites: str) -> None:
        eventually(lambda: all("SuperNode ID" in self.log(site) for site in sites), f"{sites} are connected")

    def start_all(self, app: Path, sites: int = 2) -> None:
        self.start_superlink()
        self.announce(app)
        for number in range(1, sites + 1):
            self.start_site(f"site{number}")

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        for group in groups_of(process.pid):
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(20)

    def end(self) -> None:
        super().end()
        self.gateways.close()


def groups_of(pid: int) -> set[int]:
    """The process groups of a process and its descendants. A SuperNode has its own group."""
    parents: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = (int(fields[1]), int(fields[2]))
    found, groups = {pid}, {pid}
    for _ in parents:
        more = {p for p, (parent, _group) in parents.items() if parent in found} - found
        if not more:
            break
        found |= more
        groups |= {parents[p][1] for p in more}
    return groups


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Callable[..., Pods]]:
    with maker(Pods, tmp_path, round_timeout=90) as make:
        yield make
