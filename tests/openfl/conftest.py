"""An aggregator's and its collaborators' containers as processes on loopback: the real programs, real OpenFL, real gateways, no Kubernetes.

OpenFL has a separate environment, as in a user's image; PANAL_OPENFL_VENV names it (`make test-openfl` creates it).
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from panal.pod.tools.files import RESUMED
from panal.runtimes.openfl import OpenFL
from pod_processes import BehindGateways, maker

APPS = Path(__file__).parent / "apps"
REPOSITORY = Path(__file__).parents[2]


def openfl_venv() -> Path:
    venv = Path(os.environ.get("PANAL_OPENFL_VENV") or REPOSITORY / ".cache/openfl-1.9")
    if not (venv / "bin/fx").exists():
        pytest.fail(f"no OpenFL in {venv}: run `make test-openfl`, or set PANAL_OPENFL_VENV to an environment with openfl==1.9")
    return venv


@dataclass
class Pods(BehindGateways):
    FRAMEWORK = "openfl"
    RUNTIME = OpenFL()
    MAIN, SITE = "aggregator", "collaborator"
    SOURCE = APPS / "digits"
    PORT = "PANAL_OPENFL_PORT"

    def __post_init__(self) -> None:
        self.venv = openfl_venv()
        super().__post_init__()

    def change_plan(self, old: str, new: str) -> None:
        file = self.image / "plan/plan.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def start_aggregator(self) -> None:
        if not (self.folder / "volume").exists():  # no reporter looks for a checkpoint
            (self.run_dir / RESUMED).write_text('{"round": 0}')
        super().start_aggregator()

    def lose_aggregator(self) -> None:
        """The next one has another Pod: of its volumes only the storage is the same."""
        self.kill("aggregator")
        shutil.rmtree(self.run_dir)
        shutil.rmtree(self.folder / "work")
        self.run_dir.mkdir()

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Callable[..., Pods]]:
    with maker(Pods, tmp_path) as make:
        yield make
