"""Containers as processes under a shim, and their records."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from panal_local.node import records
from panal_local.node.drain import drain
from panal_local.node.records import ended


@pytest.fixture
def container(tmp_path):
    folder = tmp_path / "pods/u/containers/c"
    yield folder
    asyncio.run(drain(tmp_path, 0))


def start(container, *command, number=0, **env):
    return records.start(container, number, list(command), {"PATH": os.environ["PATH"], **env}, "/")


def wait(container, seconds=10.0):
    """Waits for the end of the last attempt and reaps its shim."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        last = records.attempts(container)[-1]
        if last.ended:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            return last
        time.sleep(0.01)
    raise AssertionError(f"{container} still runs")


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("code", "says"), [(0, "fine"), (7, "bad")])
def test_exit_code_and_log(container, code, says):
    start(container, "sh", "-c", f"echo {says}; echo err >&2; exit {code}")
    last = wait(container)
    assert (last.ended.code, last.ended.signal, last.ended.reason) == (code, 0, "")
    assert (last.folder / "log").read_text() == f"{says}\nerr\n"
    assert last.started <= last.ended.at


def test_the_exit_code_of_a_signal(container):
    start(container, "sh", "-c", "kill -9 $$")
    last = wait(container)
    assert (last.ended.code, last.ended.signal) == (137, 9)


def test_a_missing_command(container):
    start(container, "no-such-program")
    last = wait(container)
    assert (last.ended.code, last.ended.reason) == (128, "StartError")
    assert "executable file not found in $PATH" in last.ended.message


def test_sigterm_reaches_the_first_process(container):
    attempt = start(container, "sh", "-c", 'trap "echo asked; exit 3" TERM; echo up; while :; do sleep 0.05; done')
    until(lambda: "up" in (attempt.folder / "log").read_text())
    records.send(attempt, signal.SIGTERM)
    assert wait(container).ended.code == 3
    assert "asked" in (attempt.folder / "log").read_text()


def test_all_processes_end_with_the_container(container, tmp_path):
    """Also in other sessions, and orphans."""
    script = f"""
import os, subprocess, sys, time
a = subprocess.Popen(["sleep", "60"], start_new_session=True)
b = subprocess.run(["sh", "-c", "setsid sleep 61 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True).stdout.strip()
open({str(tmp_path / "pids")!r}, "w").write(f"{{a.pid}} {{b}}")
"""
    start(container, sys.executable, "-c", script)
    assert wait(container).ended.code == 0
    pids = [int(p) for p in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(alive(p) for p in pids)


def test_the_container_survives_the_node(container, tmp_path):
    """The end is recorded although no process waits for it."""
    script = f"""
import os, signal
from pathlib import Path
from panal_local.node import records
records.start(Path({str(container)!r}), 0, ["sh", "-c", "echo $PPID; sleep 0.3; exit 5"], {{"PATH": "/bin:/usr/bin"}}, "/")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", script]) == -signal.SIGKILL
    assert records.attempts(container)[-1].running
    assert wait(container).ended.code == 5


def test_a_lost_shim_is_reported_and_leaves_no_process(container, tmp_path):
    attempt = start(container, "sh", "-c", f"setsid sleep 60 & echo $! $$ > {tmp_path}/pids; wait")
    until(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
    os.kill(records.shim_pid(attempt), signal.SIGKILL)
    last = wait(container)
    assert (last.ended.code, last.ended.reason) == (137, "ContainerStatusUnknown")
    until(lambda: not any(alive(int(p)) for p in (tmp_path / "pids").read_text().split()))
    assert records.attempts(container)[-1].ended == last.ended, "said again it is the same"


def test_an_attempt_without_a_shim_is_removed(container):
    """The node was killed before it started the shim."""
    begun = container / "0"
    begun.mkdir(parents=True)
    (begun / "spec.json").write_text("{}")
    (begun / "lock").touch()
    assert records.attempts(container) == []
    start(container, "true")
    assert wait(container).ended.code == 0


def test_the_start_of_an_attempt_stays_the_same(container):
    attempt = start(container, "sleep", "0.2")
    known = {attempt.started}
    while not (last := records.attempts(container)[-1]).ended:
        known.add(last.started)
        time.sleep(0.01)
    assert known == {last.started}


async def test_the_end_of_a_process_is_noticed_with_any_parent(container):
    attempt = start(container, "sleep", "0.2")
    while not (pid := records.shim_pid(attempt)):
        await asyncio.sleep(0.01)
    await asyncio.wait_for(ended(pid), 10)
    assert records.attempts(container)[-1].ended.code == 0
    await ended(2**22 - 3)  # no such process


def test_only_the_owner_reads_environments(container):
    attempt = start(container, "true", SECRET="s")
    assert (attempt.folder / "spec.json").stat().st_mode & 0o077 == 0
    assert json.loads((attempt.folder / "spec.json").read_text())["env"]["SECRET"] == "s"
    assert (attempt.folder / "log").stat().st_mode & 0o077 == 0
    wait(container)


def test_the_last_logs_are_kept(container):
    for number in range(5):
        start(container, "echo", str(number), number=number)
        wait(container)
    assert [a.number for a in records.attempts(container)] == [2, 3, 4]


async def test_drain_stops_containers_that_ignore_sigterm(container, tmp_path):
    attempt = start(container, "sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.05; done')
    while "up" not in (attempt.folder / "log").read_text():
        await asyncio.sleep(0.01)
    assert await drain(tmp_path, 0.2) == []
    assert records.attempts(container)[-1].ended.code == 137


def test_the_last_logs_of_removed_pods_are_kept(container, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ENDED", 1)
    start(container, "sh", "-c", "echo first")
    wait(container)
    start(container, "sh", "-c", "echo second", number=1)
    wait(container)
    for name in ("ns_a", "ns_b", "ns_b"):  # the last one again: the node was killed before it removed the folder
        records.keep_logs(container.parents[1], tmp_path / "ended" / name)
    assert [p.name for p in (tmp_path / "ended").iterdir()] == ["ns_b"]
    start(container, "sh", "-c", "echo third", number=2)
    wait(container)
    records.keep_logs(container.parents[1], tmp_path / "ended" / "ns_c")
    assert (tmp_path / "ended/ns_c/c.log").read_text() == "third\n"


def test_an_attempt_runs_until_its_shim_has_ended(tmp_path):
    folder = tmp_path / "0"
    folder.mkdir()
    (folder / "started.json").write_text(json.dumps({"pid": 1}))
    (folder / "ended.json").write_text(json.dumps({"code": 3, "signal": 0, "at": 2.0, "message": ""}))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [attempt.running for attempt in records.attempts(tmp_path)] == [True]
    assert [attempt.ended.code for attempt in records.attempts(tmp_path)] == [3]
