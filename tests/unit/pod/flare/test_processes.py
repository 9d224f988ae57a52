"""The programs where FLARE is not installed, and the processes that they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from panal.pod.tools.flare.flare import descendants, parents
from panal.pod.tools.install import install
from waiting import eventually


@pytest.mark.parametrize("program", ["server", "client"])
def test_an_image_without_flare_is_named(tmp_path: Path, program: str) -> None:
    install(tmp_path / "tools")
    env = {"PATH": os.environ["PATH"], "PANAL_TERMINATION_LOG": str(tmp_path / "termination"), "PANAL_RUN_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, str(tmp_path / "tools/run.py"), "flare", program], env=env, cwd=tmp_path, check=False)
    assert done.returncode == 1
    found = json.loads((tmp_path / "termination").read_text())
    assert found == {"reason": "FlareNotSupported", "message": "The image has no nvflare; panal supports nvflare 2.9.*"}


def test_descendants_are_found_in_other_sessions_too() -> None:
    script = "import subprocess, sys; subprocess.run(['sleep', '30'], start_new_session=True)"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        found = eventually(lambda: descendants(process.pid, parents()), "the process has not started another", 20)
        for each in (*found, process.pid):
            os.kill(each, 9)
    assert descendants(1, {2: 1, 3: 2, 4: 3, 5: 9}) == [2, 3, 4]
