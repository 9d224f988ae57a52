"""The command line, on a platform in a temporary folder. At the end no process may remain."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from panal_local.supervisor.folder import Folder
from panal_local.supervisor.process import Process, find
from panal_local.supervisor.stopping import living

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ROOT / ".cache/local-images"  # of images: they take half a minute to make


@dataclass(frozen=True)
class Home:
    """PANAL_HOME is `folder`; commands run in `work`."""

    folder: Folder
    work: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return kept | {"PANAL_HOME": str(self.folder.root), "HOME": str(self.work), "PATH": path}

    def panal(self, *words: str, code: int = 0) -> str:
        """Runs a command, which must exit with `code`, and returns its stdout."""
        command = [sys.executable, "-m", "panal.cli.main", *words]
        done = subprocess.run(command, cwd=self.work, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"panal {' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str) -> dict:
        return json.loads(self.panal(*words, "-o", "json"))

    def parts(self) -> dict[str, Process]:
        return {name: found for name in living(self.folder) if (found := find(self.folder, name))}

    def processes(self) -> list[str]:
        """The processes that use the folder."""
        return [line for line in _processes() if str(self.folder.root) in line]


def _processes() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if words and int(process.name) != os.getpid():
                yield (words + (process / "environ").read_bytes()).replace(b"\0", b" ").decode(errors="replace")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    root = tmp_path_factory.mktemp("platform")
    home = Home(Folder(root / "home"), root)
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    home.folder.images.mkdir(parents=True)
    (home.folder.images / ".venvs").symlink_to(ENVIRONMENTS)
    yield home
    home.panal("down")
    assert home.processes() == []
