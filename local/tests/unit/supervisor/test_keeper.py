"""The supervisor, with small programs as its parts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from panal_local.supervisor.folder import SUPERVISOR, Folder
from panal_local.supervisor.process import find, signal_process
from panal_local.supervisor.stopping import end, living

KEEP = """
import json, sys
from pathlib import Path
from panal_local.supervisor.folder import Folder
from panal_local.supervisor import keeper
from panal_local.supervisor.keeper import Keeper
from panal_local.supervisor.parts import Part
import logging
keeper.STOP_TIMEOUT = 1.0
logging.basicConfig(level=logging.INFO, format="%(message)s")
root = Path(sys.argv[1])
read = lambda: [Part(name, entry, env={"VALUE": value}, files=[root / f for f in files])
                for name, entry, value, files in json.loads((root / "parts.json").read_text())]
sys.exit(Keeper(Folder(root), read).run())
"""
STAND_IN = """
import os, signal, sys, time

def stay():
    print("here", os.environ["VALUE"], flush=True)
    signal.pause()

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ignores SIGTERM", flush=True)
    while True:
        signal.pause()

def fail():
    sys.exit("no luck")
"""


class Platform:
    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, Folder(root)
        self.folder.make()
        (root / "modules").mkdir()
        (root / "modules" / "standin.py").write_text(STAND_IN)
        self.processes: list[subprocess.Popen[bytes]] = []

    def want(self, *parts):
        part = self.root / "parts.part"
        part.write_text(json.dumps([(p + (["1"] if len(p) == 2 else []) + [[], []])[:4] for p in map(list, parts)]))
        part.replace(self.root / "parts.json")

    def start(self):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.root / "modules"), os.environ.get("PYTHONPATH", "")])}
        with (self.root / "keeper.log").open("ab") as log:
            self.processes.append(subprocess.Popen([sys.executable, "-c", KEEP, str(self.root)], env=env, stdout=log, stderr=log))
        return self.processes[-1]

    def log(self):
        return (self.root / "keeper.log").read_text()

    def said(self, name):
        log = self.folder.log(name)
        return log.read_text() if log.exists() else ""

    def until(self, condition, what):
        end = time.monotonic() + 30
        while not (found := condition()):
            assert time.monotonic() < end, f"{what}\n{self.log()}"
            time.sleep(0.01)
        return found

    def running(self, name, other_than=0):
        """Waits for another process of the part."""

        def question():
            found = find(self.folder, name)
            return found if found and found.pid != other_than else None

        return self.until(question, f"{name} runs")


@pytest.fixture
def platform(tmp_path):
    platform = Platform(tmp_path)
    yield platform
    end(platform.folder)
    for process in platform.processes:
        process.wait(10)
    assert [p for p in of_folder(tmp_path) if p != os.getpid()] == []


def of_folder(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes() and "Z" not in (process / "stat").read_text().split()[2]:
                found.append(int(process.name))
    return found


def test_an_ended_part_is_restarted(platform):
    platform.want(["a", "standin:stay"], ["b", "standin:stay"])
    platform.start()
    a, b = platform.running("a"), platform.running("b")
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = platform.running("a")
        signal_process(platform.folder, "a", number)
        due_at = platform.running("a", other_than=before.pid)
    assert due_at.failures == 2
    assert platform.running("b") == b
    assert a.failures == 0


def test_restarts_of_a_failing_part_are_delayed(platform):
    platform.want(["bad", "standin:fail"])
    platform.start()
    platform.until(lambda: platform.log().count("bad: ended with 1") >= 4, "it ended four times")
    waits = [line.rpartition("again in ")[2] for line in platform.log().splitlines() if "again in" in line]
    assert waits[:4] == ["0.1 s", "0.2 s", "0.4 s", "0.8 s"]
    assert platform.folder.log("bad").read_text().startswith("no luck\n")


def test_parts_end_with_a_killed_supervisor_and_the_next_one_starts_them(platform):
    platform.want(["a", "standin:stubborn"], ["b", "standin:stay"])
    first = platform.start()
    before = platform.running("a"), platform.running("b")
    first.kill()
    first.wait()
    platform.until(lambda: living(platform.folder) == [], "nothing runs")
    platform.until(lambda: of_folder(platform.root) == [], "no process is left")
    platform.start()
    assert platform.running("a").pid not in {p.pid for p in before}
    assert platform.running("b").failures == 0


def test_there_is_one_supervisor(platform):
    platform.want(["a", "standin:stay"])
    platform.start()
    platform.running("a")
    assert platform.start().wait(10) == 1
    assert "another supervisor has" in platform.log()


def test_sighup_starts_new_parts_and_restarts_changed_ones(platform):
    platform.want(["a", "standin:stay"], ["b", "standin:stay"])
    platform.start()
    a, b = platform.running("a"), platform.running("b")
    platform.until(lambda: "here" in platform.said("b"), "b has begun")
    platform.want(["a", "standin:stay"], ["b", "standin:stay", "2"], ["c", "standin:stay"])
    signal_process(platform.folder, SUPERVISOR, signal.SIGHUP)
    platform.running("b", other_than=b.pid)
    platform.running("c")
    assert platform.running("a") == a
    platform.until(lambda: platform.said("b") == "here 1\nhere 2\n", "b was started with the new value")


def test_a_part_waits_for_its_files(platform):
    platform.want(["a", "standin:stay", "1", ["needed"]])
    platform.start()
    platform.running("a")
    platform.until(lambda: platform.folder.log("a").exists(), "it waits")
    assert platform.folder.log("a").read_text() == ""
    (platform.root / "needed").touch()
    platform.until(lambda: platform.said("a") == "here 1\n", "it began")


def test_down_stops_parts_that_ignore_sigterm(platform):
    platform.want(["a", "standin:stay"], ["s", "standin:stubborn"])
    supervisor = platform.start()
    platform.running("a")
    platform.running("s")
    assert set(living(platform.folder)) == {"a", "s", SUPERVISOR}
    assert end(platform.folder)
    assert living(platform.folder) == []
    assert supervisor.wait(10) == 0
    assert not end(platform.folder)


def test_down_kills_an_unresponsive_supervisor(platform, monkeypatch):
    monkeypatch.setattr("panal_local.supervisor.stopping.STOP_TIMEOUT", 0.5)
    platform.want(["a", "standin:stay"])
    supervisor = platform.start()
    platform.running("a")
    signal_process(platform.folder, SUPERVISOR, signal.SIGSTOP)
    assert end(platform.folder)
    assert supervisor.wait(10) == -signal.SIGKILL
    platform.until(lambda: of_folder(platform.root) == [], "no process is left")


def test_the_hub_ends_last(platform):
    platform.want(["hub", "standin:stay"], ["a", "standin:stubborn"])
    supervisor = platform.start()
    hub = platform.running("hub")
    platform.until(lambda: "ignores SIGTERM" in platform.said("a"), "a ignores SIGTERM")
    signal_process(platform.folder, SUPERVISOR, signal.SIGTERM)
    platform.until(lambda: "a: ended by signal 9" in platform.log(), "a is killed")
    assert supervisor.wait(10) == 0
    log = platform.log()
    assert log.index("a: ended by signal 9") < log.index(f"hub: ended by signal {signal.SIGTERM:d}")
    assert hub.pid not in of_folder(platform.root)


def test_a_reused_process_id_is_no_part(platform):
    """The files of a killed supervisor contain process ids that other processes have now, but the lock is free."""
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    left = {"pid": stranger.pid, "since": 0, "failures": 0}
    platform.folder.lock.write_text(json.dumps(left))
    platform.folder.parts.write_text(json.dumps({"a": left}))
    assert find(platform.folder, "a") is find(platform.folder, SUPERVISOR) is None
    assert not end(platform.folder)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
