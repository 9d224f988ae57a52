"""An aggregator's and its collaborators' containers as processes on loopback: the real programs, real FLARE, real gateways, no Kubernetes.

FLARE has a separate environment, as in a user's image; PANAL_FLARE_VENV names it (`make test-flare` creates it).
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from panal.pod.tools.files import RESUMED
from panal.pod.tools.flare.flare import descendants, parents
from panal.runtimes.flare import Flare
from pod_processes import BehindGateways, maker

JOBS = Path(__file__).parent / "jobs"
REPOSITORY = Path(__file__).parents[2]


def flare_venv() -> Path:
    venv = Path(os.environ.get("PANAL_FLARE_VENV") or REPOSITORY / ".cache/flare-2.9")
    if not (venv / "bin/nvflare").exists():
        pytest.fail(f"no FLARE in {venv}: run `make test-flare`, or set PANAL_FLARE_VENV to an environment with nvflare==2.9.*")
    return venv


@dataclass
class Pods(BehindGateways):
    FRAMEWORK = "flare"
    RUNTIME = Flare()
    MAIN, SITE = "server", "client"
    SOURCE = JOBS / "digits"
    PORT = "PANAL_FLARE_PORT"

    def __post_init__(self) -> None:
        self.venv = flare_venv()
        super().__post_init__()
        (self.run_dir / RESUMED).write_text('{"round": 0}')  # there may be no reporter

    def kill(self, name: str) -> None:
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


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Callable[..., Pods]]:
    with maker(Pods, tmp_path) as make:
        yield make
