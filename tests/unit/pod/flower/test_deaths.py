"""The report of an app process that has died."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from panal.pod.tools.flower import deaths
from panal.pod.tools.flower.errors import incoming_error, outgoing_error

CLIENT, SERVER = ["flwr-clientapp", "--token", "t"], ["flwr-serverapp", "--token", "t"]


@pytest.mark.parametrize(
    ("code", "starved", "reason", "words"),
    [
        (-9, False, "KilledBySIGKILL", "was killed by SIGKILL"),
        (-9, True, "OutOfMemory", "was killed by SIGKILL: its container was out of memory"),
        (-11, True, "KilledBySIGSEGV", "was killed by SIGSEGV"),
        (-63, False, "KilledBySignal63", "was killed by Signal63"),
        (3, False, "ClientAppExited", "ended with exit code 3 before it had a result"),
        (deaths.EXITED, False, "ClientAppExited", "ended by sys.exit before it had a result"),
    ],
)
def test_signal_and_lack_of_memory_are_named(code: int, starved: bool, reason: str, words: str) -> None:
    found = deaths.death_message(CLIENT, code, starved)
    assert incoming_error(8, outgoing_error(8, found, share=True)) == (reason, f"the client app {words}")
    assert incoming_error(8, outgoing_error(8, found, share=False)) == (reason, "")
    assert deaths.death_message(SERVER, code, starved) == f"The server app {words}"


def test_success_and_other_programs_are_not_reported() -> None:
    assert not deaths.death_message(CLIENT, 0, True)
    assert not deaths.death_message(["flwr-agentapp"], -9, False)


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/", "/sys/fs/cgroup/memory.events", "low 0\noom 7\noom_kill 2\noom_group_kill 0\n"),
        ("0::/user.slice/a", "/sys/fs/cgroup/user.slice/a/memory.events", "oom_kill 2\n"),
        ("9:name=systemd:/\n4:memory:/pod/a\n0::/", "/sys/fs/cgroup/memory/pod/a/memory.oom_control", "under_oom 0\noom_kill 2\n"),
        ("4:memory:/pod/a", "/sys/fs/cgroup/memory/memory.oom_control", "oom_kill 2\n"),
        ("4:memory:/pod/a", "/nowhere", ""),
    ],
)
def test_oom_kills_are_read_from_both_cgroup_versions(monkeypatch: pytest.MonkeyPatch, cgroup: str, file: str, text: str) -> None:
    files = {"/proc/self/cgroup": cgroup, file: text}
    monkeypatch.setattr(deaths, "_lines", lambda path: files.get(str(path).replace("//", "/"), "").splitlines())
    assert deaths.oom_kills() == (2 if text else 0)


def ending(how: object) -> SimpleNamespace:
    """A module like Flower's whose app ends in this way."""

    def flwr_exit(code: int) -> None:
        raise SystemExit(code)

    def run_app() -> None:
        if isinstance(how, SystemExit):
            raise how
        module.flwr_exit(how)

    module = SimpleNamespace(run_app=run_app, flwr_exit=flwr_exit)
    deaths.mark_exit(module, "run_app")  # type: ignore[arg-type]
    return module


@pytest.mark.parametrize(
    ("how", "code"),
    [(0, 0), (1, 1), (SystemExit(), deaths.EXITED), (SystemExit(0), deaths.EXITED), (SystemExit(4), 4)],
)
def test_an_app_that_calls_sys_exit_has_a_nonzero_exit_code(how: object, code: int) -> None:
    with pytest.raises(SystemExit) as end:
        ending(how).run_app()
    assert end.value.code == code


def test_without_a_count_there_are_no_oom_kills(tmp_path: Path) -> None:
    assert deaths._lines(tmp_path / "missing") == []
