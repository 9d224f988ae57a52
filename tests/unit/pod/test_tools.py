"""The small decisions of the programs in users' images; what they do with a real Flower is in tests/flower."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from panal.pod.tools import files
from panal.pod.tools.files import RunError, records
from panal.pod.tools.flower_client_hook import exception_class
from panal.pod.tools.flower_control import find_app, overrides
from panal.pod.tools.flower_launcher import wait_until_stored
from panal.pod.tools.flower_replies import numbers
from panal.pod.tools.flower_supernode import check_data, node_config, read_address
from panal.pod.tools.install import install


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:30800\n", "10.0.0.1:30800"),
        ("hub.test:80", "hub.test:80"),
        ("[fd00::1]:8080", "[fd00::1]:8080"),
        ("fd00::1:8080", "[fd00::1]:8080"),
        ("", ""),
        ("hub.test", ""),
        ("hub.test:http", ""),
        (":80", ""),
    ],
)
def test_an_address_is_a_host_and_a_port(tmp_path: Path, text: str, address: str) -> None:
    (tmp_path / "address").write_text(text)
    assert read_address(tmp_path / "address") == address


def test_no_address_yet(tmp_path: Path) -> None:
    assert read_address(tmp_path / "address") == ""


def test_the_node_config_carries_awkward_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_CLUSTER", "site1")
    monkeypatch.delenv("PANAL_DATA_PATH", raising=False)
    assert node_config() == 'cluster-name="site1"'
    monkeypatch.setenv("PANAL_DATA_PATH", '/panal/data/a "b"')
    assert node_config() == 'cluster-name="site1" data-path="/panal/data/a \\"b\\""'


def test_data_may_be_a_file_or_a_folder_that_holds_something(tmp_path: Path) -> None:
    check_data("")
    (tmp_path / "train.npz").write_bytes(b"x")
    check_data(str(tmp_path))
    check_data(str(tmp_path / "train.npz"))
    (tmp_path / "empty").mkdir()
    for path, what in ((tmp_path / "empty", "is empty"), (tmp_path / "none", "does not exist")):
        with pytest.raises(RunError, match=what) as caught:
            check_data(str(path))
        assert caught.value.reason == "DataNotFound"


@pytest.mark.parametrize(
    ("reason", "code", "name"),
    [
        ("<class 'ValueError'>:<'patient 4711'>", 2, "ValueError"),
        ("<class 'app.errors.BadData'>:<'x'>", 2, "BadData"),
        ("<class 'app.f.<locals>.Strange'>:<'x'>", 2, "Strange"),
        ("An exception was raised when attempting to load `ClientApp`", 1, "LoadClientAppError"),
        ("patient 4711", 2, "ClientAppError"),
        (None, 2, "ClientAppError"),
    ],
)
def test_only_the_class_of_an_exception_leaves_the_site(reason: str | None, code: int, name: str) -> None:
    assert exception_class(reason, code) == name


def test_the_run_config_takes_the_runs_numbers_where_the_app_declares_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_ROUNDS", "7")
    monkeypatch.setenv("PANAL_MIN_CLIENTS", "3")
    config = {
        "num-server-rounds": 1,
        "min_available_clients": 2,
        "min-fit-clients": 2,
        "rounds": True,
        "num-rounds": "5",
        "lr": 0.1,
    }
    assert overrides({"tool": {"flwr": {"app": {"config": config}}}}) == {
        "num-server-rounds": 7,
        "min_available_clients": 3,
        "min-fit-clients": 3,
    }
    assert overrides({"tool": {"flwr": {"app": {}}}}) == {}


def test_an_app_that_cannot_be_found_or_read_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_APP_DIR", str(tmp_path))
    for text, what in (("", "no pyproject.toml with"), ("[tool.other]", "no pyproject.toml with"), ("[broken", "cannot be read")):
        if text:
            (tmp_path / "pyproject.toml").write_text(text)
        with pytest.raises(RunError, match=what) as caught:
            find_app()
        assert caught.value.reason == "AppInvalid"
    (tmp_path / "pyproject.toml").write_text("[tool.flwr.app]\npublisher = 'x'")
    assert find_app()[0] == tmp_path


def test_records_are_whole_lines(run_dir: Path) -> None:
    assert records() == []
    files.append({"event": "connected", "count": 1})
    with (run_dir / "progress.jsonl").open("a") as file:
        file.write('{"event":"unfin')
    assert [r["event"] for r in records()] == ["connected"]


def test_the_end_waits_for_the_model_of_the_last_round(run_dir: Path) -> None:
    stored = run_dir / "stored.json"
    stored.write_text(json.dumps({"uri": "pvc://a/m", "round": 2}))
    assert "round 2" in wait_until_stored(run_dir, {"round": 2})
    for model, content, patience in (({"round": 3}, {"uri": "pvc://a/m", "round": 2}, 0.0), ({"round": 2}, {"error": "disk full"}, 9.0)):
        stored.write_text(json.dumps(content))
        with pytest.raises(RunError) as caught:
            wait_until_stored(run_dir, model, patience)
        assert caught.value.reason == "ModelNotStored"


def test_metrics_are_single_finite_numbers() -> None:
    assert numbers({"a": 1, "b": 0.5, "c": [1.0], "d": float("inf"), "e": "x"}) == {"a": 1, "b": 0.5}
    assert numbers(None) == {}


def test_the_tools_run_from_where_they_are_put_and_leave_other_programs_alone(tmp_path: Path) -> None:
    tools, own = tmp_path / "tools", tmp_path / "own"
    install(tools)
    install(tools)  # again, as when the init container is repeated
    own.mkdir()
    (own / "sitecustomize.py").write_text("print('the image has one too')")
    env = {"PYTHONPATH": os.pathsep.join((str(tools), str(own))), "PANAL_HOOK": "server", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", "print('hello')"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "the image has one too\nhello\n"
    assert done.stderr == ""
    usage = subprocess.run([sys.executable, str(tools / "run.py")], capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stderr) == (1, "usage: run.py superlink|launcher|supernode\n")


@pytest.mark.parametrize("source", ["raise RuntimeError('x')", "class Strategy:\n    def start(self, unknown): return 'its own'\n"])
def test_a_flower_of_another_shape_is_left_alone(tmp_path: Path, source: str) -> None:
    """A module in the place of Flower's that our hook does not know: one line says so, and the app goes on."""
    install(tmp_path)
    package = tmp_path / "flwr/serverapp/strategy"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "strategy.py").write_text(source)
    program = "import flwr.serverapp.strategy.strategy as s; print(s.Strategy().start(1))"
    env = {"PYTHONPATH": str(tmp_path), "PANAL_HOOK": "server", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    if "raise" in source:
        assert "RuntimeError: x" in done.stderr  # the module's own error, as without us
    else:
        assert done.stdout == "its own\n"
        assert "flwr.serverapp.strategy.strategy is left as it is" in done.stderr
        assert done.stderr.count("\n") == 1
