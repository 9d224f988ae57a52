"""The fork server without Flower: its programs are small modules of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panal.pod.tools.install import install

SCRIPT = """
import os, sys
from pathlib import Path
from panal_tools import flower_fork_hook as hook, flower_fork_server as server
os.environ["PANAL_HOOK"] = "client"
server.AHEAD = {"client": ("imported_ahead",)}
hook.PROGRAMS.update({"flwr-clientapp": ("app", "main"), "flower-superexec": ("executor", "main")})
server.EXECUTOR = "executor"
asked, app = hook.begin()
if asked is None:
    app()
    sys.exit()
out = Path(sys.argv[1])
"""
APP = """
import os, random, sys
from pathlib import Path
import imported_ahead
def main():
    part = Path(sys.argv[1] + ".part")
    part.write_text(f"{imported_ahead.WHERE} {random.random()} {os.getsid(0) == os.getpid()}")
    part.rename(sys.argv[1])
"""
EXECUTOR = """
import subprocess, sys
def main():
    subprocess.Popen(["flwr-clientapp", sys.argv[1]])
"""
WAIT = """
import time
def wait(*names):
    while not all((out / name).exists() for name in names):
        time.sleep(0.02)
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str, str], Path]:
    """Runs a SuperNode's part, written by a test, and returns the folder of what its programs wrote."""

    def go(body: str, ahead: str = "") -> Path:
        install(tmp_path / "tools")
        out = tmp_path / "out"
        out.mkdir()
        for name, text in {"imported_ahead": f"import os\nWHERE = os.getpid()\n{ahead}", "app": APP, "executor": EXECUTOR}.items():
            (tmp_path / "tools" / f"{name}.py").write_text(text)
        (tmp_path / "tools/script.py").write_text(SCRIPT + WAIT + body)
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("flwr-clientapp", "flwr-agentapp"):
            (programs / name).write_text('#!/bin/sh\necho anew >"$1.part" && mv "$1.part" "$1"\n')
            (programs / name).chmod(0o755)
        command, path = [sys.executable, str(tmp_path / "tools/script.py"), str(out)], f"{programs}:{os.environ['PATH']}"
        done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        (out / "said").write_text(done.stdout)
        return out

    return go


def test_programs_share_what_was_imported_and_nothing_of_their_random_state(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a")])
asked.start(["flwr-clientapp", str(out / "b")], start_new_session=True)
wait("a", "b")
""")
    first, second = ((out / name).read_text().split() for name in "ab")
    assert first[0] == second[0]
    assert first[1] != second[1]
    assert (first[2], second[2]) == ("False", "True")


def test_a_program_that_starts_programs_asks_the_same_server(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a")])
asked.start(["flower-superexec", str(out / "b")])
wait("a", "b")
""")
    assert (out / "a").read_text().split()[0] == (out / "b").read_text().split()[0]


def test_where_a_library_starts_threads_programs_are_started_as_ever_and_none_is_lost(run: Callable[..., Path]) -> None:
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()\ntime.sleep(0.3)"
    out = run(
        """
asked.start(["flwr-clientapp", str(out / "before")])
wait("before")
refused = False
while not refused:
    try:
        asked.socket.send(b'{"arguments": ["true"], "silent": false, "session": false}')
    except OSError:
        refused = True
asked.start(["flwr-clientapp", str(out / "after")])
wait("after")
""",
        threads,
    )
    assert (out / "before").read_text() == (out / "after").read_text() == "anew\n"
    said = (out / "said").read_text()
    assert "no acceleration: a library has started threads" in said
    assert "no fork server" in said


def test_a_program_that_is_not_known_is_started_as_ever(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-agentapp", str(out / "a")])
wait("a")
""")
    assert (out / "a").read_text() == "anew\n"


def test_app_processes_that_teach_at_the_same_time(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a")])
wait("a")
said = []
taught = server.Server(None, None, os.getpid())
taught._import = said.extend
taught._learn(b'["a"]\\n["b"]\\n["c')
taught._learn(b'"]\\n["d["e"]\\n["f"]\\n')
assert said == ["a", "b", "c", "f"], said
""")
    assert (out / "a").exists()
