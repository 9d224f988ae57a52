"""The fork server without Flower: its programs are small modules of the test."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panal.pod.tools.flower.fork_server import libraries
from panal.pod.tools.install import install

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from panal_tools.flower import deaths, fork_client as client, fork_hook as hook, fork_server as server
os.environ["PANAL_HOOK"] = "client"
server.AHEAD = {"client": ("imported_ahead",)}
client.PROGRAMS.update({"flwr-clientapp": ("app", "main"), "flower-superexec": ("executor", "main")})
server.EXECUTOR = "executor"
deaths.report = lambda arguments, details: written(arguments[1], details)
def written(name, text):
    Path(name + ".part").write_text(text)
    Path(name + ".part").rename(name)
asked, app = hook.begin()
if asked is None:
    app()
    sys.exit()
out = Path(sys.argv[1])
"""
APP = """
import gc, os, random, signal, sys
from pathlib import Path
import imported_ahead
def main():
    if len(sys.argv) > 2:
        os.kill(os.getpid(), int(sys.argv[2]))
    part = Path(sys.argv[1] + ".part")
    part.write_text(f"{imported_ahead.WHERE} {random.random()} {os.getsid(0) == os.getpid()} {gc.get_freeze_count()}")
    part.rename(sys.argv[1])
"""
EXECUTOR = """
import os, subprocess, sys
def main():
    subprocess.Popen(["flwr-clientapp", *sys.argv[1:]])
    if sys.argv[2:] == ["0"]:
        os.kill(os.getpid(), 9)
"""
WAIT = """
import time
def wait(*names):
    while not all((out / name).exists() for name in names):
        time.sleep(0.02)
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str, str], Path]:
    """Runs the test's script as a SuperNode, and returns the folder with the output of its programs."""

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
            (programs / name).write_text('#!/bin/sh\nkill "-${2:-0}" $$ || exit 3\necho anew >"$1.part" && mv "$1.part" "$1"\n')
            (programs / name).chmod(0o755)
        (programs / "flower-superexec").write_text('#!/bin/sh\n: >"$1"\nkill -9 $$\n')
        (programs / "flower-superexec").chmod(0o755)
        command, path = [sys.executable, str(tmp_path / "tools/script.py"), str(out)], f"{programs}:{os.environ['PATH']}"
        done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        (out / "said").write_text(done.stdout)
        return out

    return go


def test_programs_share_imports_but_no_random_state(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a")])
asked.start(["flwr-clientapp", str(out / "b")], start_new_session=True)
wait("a", "b")
""")
    first, second = ((out / name).read_text().split() for name in "ab")
    assert first[0] == second[0]
    assert first[1] != second[1]
    assert (first[2], second[2]) == ("False", "True")


def test_a_forked_program_uses_the_same_server(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a")])
asked.start(["flower-superexec", str(out / "b")])
wait("a", "b")
""")
    assert (out / "a").read_text().split()[0] == (out / "b").read_text().split()[0]


def test_programs_are_started_normally_if_a_library_starts_threads(run: Callable[..., Path]) -> None:
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
    output = (out / "said").read_text()
    assert "no acceleration: a library has started threads" in output
    assert "no fork server" in output


def test_an_unknown_program_is_started_normally(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-agentapp", str(out / "a")])
wait("a")
""")
    assert (out / "a").read_text() == "anew\n"


def test_garbage_collection_does_not_copy_shared_memory(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a")])
wait("a")
""")
    assert int((out / "a").read_text().split()[3]) > 1000


def test_a_long_list_of_modules_reaches_the_server(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a")])
wait("a")
names = [f"library{n % 40}.module_with_a_name_of_usual_length_{n}" for n in range(9000)]
server.libraries = lambda names_: names
imported = []
instance = server.Server(None, None, os.getpid())
instance._import = imported.append
instance._send_libraries()
instance._learn(instance.lessons.recv(server.LESSON))
instance._learn(b"what an app may write")
assert imported == [names], len(imported)
""")
    assert (out / "a").exists()


def test_libraries_are_found_where_site_packages_is_reached_by_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real/lib").mkdir(parents=True)
    (tmp_path / "real/lib/taught_by_link.py").write_text("")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    for path in ("linked", "real"):
        monkeypatch.setattr("sysconfig.get_paths", lambda: dict.fromkeys(("purelib", "platlib"), str(tmp_path / "linked/lib")))
        monkeypatch.syspath_prepend(str(tmp_path / path / "lib"))
        monkeypatch.delitem(sys.modules, "taught_by_link", raising=False)
        monkeypatch.setitem(sys.modules, "another_name", importlib.import_module("taught_by_link"))
        assert libraries({"taught_by_link", "another_name", "json"}) == ["taught_by_link"]


def test_the_death_of_a_forked_app_is_reported_with_its_signal(run: Callable[..., Path]) -> None:
    out = run("""
asked.start(["flwr-clientapp", str(out / "a"), "9"])
asked.start(["flwr-clientapp", str(out / "b"), "0"])
asked.start(["flower-superexec", str(out / "c"), "11"])
wait("a", "b", "c")
""")
    assert (out / "a").read_text() == "exception=KilledBySIGKILL message=the client app was killed by SIGKILL"
    assert "exception=" not in (out / "b").read_text()  # its own output: no death is reported
    assert "KilledBySIGSEGV" in (out / "c").read_text()


def test_the_death_of_an_app_that_was_not_forked_is_reported(run: Callable[..., Path]) -> None:
    out = run("""
deaths.popen(["flwr-clientapp", str(out / "a"), "9"])
wait("a")
asked.socket.close()
asked.start(["flwr-clientapp", str(out / "b"), "15"])
wait("b")
""")
    assert "KilledBySIGKILL" in (out / "a").read_text()
    assert "KilledBySIGTERM" in (out / "b").read_text()


def test_a_fork_server_that_has_given_up_reports_deaths(run: Callable[..., Path]) -> None:
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()\ntime.sleep(0.3)"
    out = run(
        """
asked.start(["flwr-clientapp", str(out / "a"), "9"])
wait("a")
""",
        threads,
    )
    assert "KilledBySIGKILL" in (out / "a").read_text()


@pytest.mark.parametrize("start", ["asked.start", "deaths.popen"])
def test_a_process_ends_with_its_superexec(run: Callable[..., Path], start: str) -> None:
    """The process is then restarted together with its SuperExec."""
    out = run(f"""
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
{start}(["flower-superexec", str(out / "a"), "0"])
while not ended:
    time.sleep(0.02)
wait("a")
""")
    assert "the SuperExec ended with -9" in (out / "said").read_text()
