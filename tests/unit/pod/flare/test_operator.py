"""How the job is started at clients that connect later. FLARE's modules are replaced."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from waiting import eventually

OPERATOR = "panal.pod.tools.flare.operator"


class Names(type):
    """A class whose attributes are their own names, as FLARE's constants are nearly."""

    def __getattr__(cls, name: str) -> str:
        return name


class Anything(ModuleType):
    """A module in which every name is a class of constants."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Names(name, (), {})


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    names = ("event_type", "fl_component", "fl_constant", "job_def", "job_scheduler_spec")
    for name in (*(f"nvflare.apis.{each}" for each in names), "nvflare.fuel.utils.zip_utils", "nvflare.private.defs"):
        for part in (*(name[:at] for at, each in enumerate(name) if each == "."), name):
            monkeypatch.setitem(sys.modules, part, Anything(part))
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    yield importlib.import_module(OPERATOR)
    sys.modules.pop(OPERATOR)


def client(name: str, token: str = "") -> Any:
    return SimpleNamespace(name=name, token=token or f"token of {name}", last_connect_time=time.time())


def following(operator: ModuleType, *clients: Any) -> Any:
    process, job = {"PARTICIPANTS": {}}, SimpleNamespace()
    engine = SimpleNamespace(
        get_clients=lambda: list(clients),
        get_component=lambda _: None,
        run_processes={"job": process},
        job_runner=SimpleNamespace(running_jobs={"job": job}),
    )
    return operator.Following(engine)


def test_a_cluster_that_registers_twice_counts_once(operator: ModuleType, tmp_path: Path) -> None:
    last = client("site1", "new")
    assert following(operator, client("site1", "old"), client("site2"), last)._look()[0] is last
    assert '"count":2' in (tmp_path / "progress.jsonl").read_text()


def test_a_client_that_does_not_answer_or_fails_keeps_no_other_waiting(operator: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    found = following(operator, client("silent"), client("broken"), client("site1"))
    started: list[str] = []
    answer = threading.Event()

    def start_at(each: Any, _job: Any, _taking_part: Any) -> None:
        started.append(each.name)
        if each.name == "silent":
            answer.wait(20)
        if each.name == "broken":
            raise RuntimeError("no such app")

    found._start_at = start_at
    for _ in range(3):  # each is tried once in a while
        found._admit("job")
    eventually(lambda: len(started) == 3 and found._starting == {"silent"}, lambda: str((started, found._starting)), 20)
    assert "the job cannot be started at broken: RuntimeError('no such app')" in capfd.readouterr().out
    answer.set()
    eventually(lambda: not found._starting, "the silent client is still waited for", 20)
