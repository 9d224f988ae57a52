"""Small decisions of the pod tools. Their behavior with the real Flower is tested in tests/flower."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest

from panal.api.text import shown
from panal.lifecycle.diagnosis import termination_of
from panal.pod.tools import files
from panal.pod.tools.codes import Ending
from panal.pod.tools.data import check_data
from panal.pod.tools.ending import conclude, wait_until_evaluated, wait_until_stored
from panal.pod.tools.files import RunError, read_records
from panal.pod.tools.flower.app_folder import find_app, refuse_unfit
from panal.pod.tools.flower.codes import FlowerEnding
from panal.pod.tools.flower.control import overrides, uncompressed
from panal.pod.tools.flower.environment import append_node
from panal.pod.tools.flower.errors import incoming_error, outgoing_error
from panal.pod.tools.flower.known import PIN
from panal.pod.tools.flower.launcher import raise_if_stopped
from panal.pod.tools.flower.replies import Clusters, numbers
from panal.pod.tools.flower.site import app_hash, share_errors
from panal.pod.tools.flower.supernode import node_config
from panal.pod.tools.install import install
from panal.pod.tools.records import Connected, Ended, NoModel, Record, Resumed, Round, Stopped


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    return tmp_path


def test_the_node_config_quotes_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_CLUSTER", "site1")
    monkeypatch.delenv("PANAL_DATA_PATH", raising=False)
    assert node_config() == 'cluster-name="site1"'
    monkeypatch.setenv("PANAL_DATA_PATH", '/panal/data/a "b"')
    assert node_config() == 'cluster-name="site1" data-path="/panal/data/a \\"b\\""'
    monkeypatch.setenv("PANAL_PARTITION_ID", "0")
    monkeypatch.setenv("PANAL_NUM_PARTITIONS", "12")
    assert node_config().endswith(" partition-id=0 num-partitions=12")


def test_data_must_be_a_file_or_a_non_empty_folder(tmp_path: Path) -> None:
    check_data("")
    (tmp_path / "train.npz").write_bytes(b"x")
    check_data(str(tmp_path))
    check_data(str(tmp_path / "train.npz"))
    (tmp_path / "empty").mkdir()
    for path, what in ((tmp_path / "empty", "is empty"), (tmp_path / "none", "does not exist")):
        with pytest.raises(RunError, match=what) as caught:
            check_data(str(path))
        assert caught.value.reason == "DataNotFound"


RAISED = "<class 'ValueError'>:<'patient 4711'>"


@pytest.mark.parametrize(
    ("code", "reason", "closed", "shared"),
    [
        (2, RAISED, "exception=ValueError", "exception=ValueError message=patient 4711"),
        (2, "<class 'app.errors.BadData'>:<'a\n  b\x00c'>", "exception=BadData", "exception=BadData message=a b c"),
        (2, "<class 'app.f.<locals>.Strange'>:<''>", "exception=Strange", "exception=Strange"),
        (1, "An exception was raised", "exception=LoadClientAppError", "exception=LoadClientAppError message=An exception was raised"),
        (2, "patient 4711", "exception=ClientAppError", "exception=ClientAppError message=patient 4711"),
        (2, "exception=Mine message=patient 4711", "exception=Mine", "exception=Mine message=patient 4711"),
        (2, f"{RAISED} exception=Mine", "exception=ClientAppError", f"exception=ClientAppError message={RAISED} exception=Mine"),
        (
            8,
            "ClientApp stopped responding.",
            "exception=ClientAppCrashed",
            "exception=ClientAppCrashed message=ClientApp stopped responding.",
        ),
        (99, None, "exception=Unknown", "exception=Unknown"),
        (2, f"<class 'E'>:<'{'x' * 600}'>", "exception=E", f"exception=E message={'x' * 500}"),
    ],
)
def test_exception_texts_leave_a_site_only_if_shared(code: int, reason: str | None, closed: str, shared: str) -> None:
    assert outgoing_error(code, reason, share=False) == closed
    assert outgoing_error(code, reason, share=True) == shared
    assert outgoing_error(code, closed, share=False) == closed
    for said in (closed, shared):
        name, _, text = said.removeprefix("exception=").partition(" message=")
        assert incoming_error(code, said) == (name, text)


@pytest.mark.parametrize(
    ("code", "reason", "read"),
    [
        (2, RAISED, "ClientAppError"),
        (5, "Node unavailable", "NodeUnavailable"),
        (77, "cluster=c2 exception=ValueError", "Unknown"),
        (2, "exception=A message=b\nc", "ClientAppError"),
        (3, None, "MessageUnavailable"),
    ],
)
def test_foreign_error_texts_are_ignored(code: int, reason: str | None, read: str) -> None:
    assert incoming_error(code, reason) == (read, "")


@pytest.mark.parametrize("found", ["", "abc", "A1" * 32, "a1" * 31, "a1" * 32 + "\n"])
def test_a_missing_app_hash_is_refused(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setenv("PANAL_APP_HASH", found)
    with pytest.raises(RunError) as caught:
        app_hash()
    assert caught.value.reason == "AppHashMismatch"


@pytest.mark.parametrize(
    ("said", "shared"), [(None, False), ("", False), ("false", False), ("True", False), ("yes", False), ("true", True)]
)
def test_only_true_shares_errors(monkeypatch: pytest.MonkeyPatch, said: str | None, shared: bool) -> None:
    monkeypatch.delenv("PANAL_SHARE_ERRORS", raising=False)
    if said is not None:
        monkeypatch.setenv("PANAL_SHARE_ERRORS", said)
    assert share_errors() is shared


def test_bundles_are_reproducible() -> None:
    """Bundles compressed by different libraries are the same."""
    made = []
    for level, permissions in ((1, 0o600), (9, 0o755)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            for name in ("pyproject.toml", "app/__init__.py"):
                info = zipfile.ZipInfo(name, (2024, 10, 1, 0, 0, 0))
                info.external_attr = permissions << 16
                archive.writestr(info, name * 1000, compress_type=zipfile.ZIP_DEFLATED)
        made.append(buffer.getvalue())
    assert made[0] != made[1]
    first, second = map(uncompressed, made)
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.read("app/__init__.py") == b"app/__init__.py" * 1000


def test_clusters_of_nodes_are_read_from_nodes_jsonl(run_dir: Path) -> None:
    clusters = Clusters()
    assert clusters.of(7) == ""
    append_node(7, "c1")
    append_node(2**63 + 5, "c2")
    assert [clusters.of(n) for n in (7, 2**63 + 5, 8, None)] == ["c1", "c2", "", ""]
    with (run_dir / "nodes.jsonl").open("a") as file:
        file.write('{"node":8,"cluster"')
    assert clusters.of(8) == ""
    with (run_dir / "nodes.jsonl").open("a") as file:
        file.write(':"c3"}\n')
    assert clusters.of(8) == "c3"


def test_a_superlink_without_guard_ends_the_run_with_its_reason(run_dir: Path) -> None:
    raise_if_stopped()
    files.append(Stopped(reason=FlowerEnding.FLOWER_NOT_SUPPORTED, message="no guard"))
    with pytest.raises(RunError, match="no guard") as caught:
        raise_if_stopped()
    assert caught.value.reason == "FlowerNotSupported"


def test_rounds_and_quorum_are_set_in_the_declared_run_config(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_app_that_cannot_be_found_or_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert read_records() == []
    files.append(Connected(count=1))
    with (run_dir / "progress.jsonl").open("a") as file:
        file.write('{"event":"unfin')
    assert [r.content() for r in read_records()] == [{"event": "connected", "time": ANY, "count": 1}]


def test_foreign_lines_between_records_are_skipped(run_dir: Path) -> None:
    (run_dir / "progress.jsonl").write_bytes(b'\xff\xfe\n[]\n{"no": "event"}\n{"event": 1}\n' + b"[" * 100_000 + b"\nfree text\n")
    files.append(Connected(count=1))
    assert [r.content() for r in read_records()] == [{"event": "connected", "time": ANY, "count": 1}]


@pytest.mark.parametrize("message", ["ok", "\x1b[2J\n\u202e\0\ud800", "字" * 5000, '"' * 5000, "\n" * 5000, "\U0001f600" * 5000])
def test_a_termination_message_is_valid_json_within_the_limit(
    message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("PANAL_TERMINATION_LOG", str(tmp_path / "log"))
    files.terminate(Ending.APP_INVALID, message)
    written = (tmp_path / "log").read_bytes()
    assert len(written) <= 4096
    reason, said = termination_of(written.decode(), ())
    assert (reason, said[:1]) == ("AppInvalid", shown(message)[:1])
    assert len(said) >= min(len(message), 700)
    line = capsys.readouterr().out
    assert line == f"panal: {line[7:-1]}\n"
    assert line[:-1].isprintable()


@pytest.mark.parametrize("text", ["plain é字", "a\tb\r\n\x1b[2J", "\u202e\u2066\ud800\0\x85\x9b", r"C:\new"])
def test_log_lines_are_escaped(text: str) -> None:
    assert files.shown(text) == shown(text)


def test_the_launcher_waits_until_all_models_are_stored(run_dir: Path) -> None:
    assert wait_until_stored(run_dir, 0.0) == ""
    for start in ("1", "2"):
        (run_dir / "models" / start).mkdir(parents=True)
        (run_dir / "models" / start / "model.json").write_text("{}")
    stored = run_dir / "stored.json"
    stored.write_text(json.dumps({n: {"uri": "pvc://a/m", "round": n} for n in (1, 2)}))
    assert "Model of round 2 stored as pvc://a/m; models of 1 earlier" in wait_until_stored(run_dir)
    for content in ({"1": {"uri": "pvc://a/m", "round": 1}}, {"1": {"uri": "pvc://a/m", "round": 1}, "2": {"error": "disk full"}}):
        stored.write_text(json.dumps(content))
        with pytest.raises(RunError) as caught:
            wait_until_stored(run_dir, 0.0)
        assert caught.value.reason == "ModelNotStored"


def test_the_launcher_waits_for_an_evaluation_while_the_reporter_makes_progress(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def sleep(_: float) -> None:
        """100 seconds pass. The reporter touches the mark until 1,500 seconds, and answers at the end."""
        now[0] += 100.0
        if now[0] <= 1500:
            (run_dir / "storing").touch()
            os.utime(run_dir / "storing", (now[0], now[0]))
        elif now[0] == answer:
            (run_dir / "evaluated.json").write_text('{"uri": "pvc://a/evaluation.json"}')

    monkeypatch.setattr("panal.pod.tools.ending.time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    assert wait_until_evaluated(run_dir) == ""
    (run_dir / "evaluation.json").write_text("{}")
    answer = 2000.0
    assert wait_until_evaluated(run_dir) == "Evaluation stored as pvc://a/evaluation.json"
    (run_dir / "evaluated.json").unlink()
    answer, now[0] = math.inf, 0.0
    with pytest.raises(RunError, match="did not store the evaluation within 600 s"):
        wait_until_evaluated(run_dir)
    assert now[0] == 2100.0


ANSWERED = Round(round=1, phase="train", replies=1)
NO_MODEL = NoModel(message="nothing")
ITS_WORDS = RunError(Ending.SERVER_APP_FAILED, "its words")


@pytest.mark.parametrize(
    ("events", "end", "wanted", "reason"),
    [
        ([ANSWERED], None, "", ""),
        ([], None, "", "NoResult"),
        ([Round(round=1, phase="train", replies=0)], None, "None", "NoResult"),
        ([Resumed(round=3)], None, "", ""),
        ([ANSWERED, NO_MODEL], None, "", "ModelMissing"),
        ([ANSWERED, NO_MODEL], None, "None", ""),
        ([ANSWERED], None, "Model", "ModelMissing"),
        ([ANSWERED], ITS_WORDS, "", "ServerAppFailed"),
        ([ANSWERED, Stopped(reason=Ending.QUORUM_LOST, message="x")], ITS_WORDS, "", "QuorumLost"),
        ([ANSWERED, Stopped(reason="OfTheAppsOwn", message="x")], None, "", ""),
    ],
)
def test_the_outcome_of_a_run(
    events: list[Record], end: RunError | None, wanted: str, reason: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANAL_RESULT", wanted)
    for event in events:
        files.append(event)
    if not reason:
        assert conclude(end) == "The app has ended; it has left no files, and no model"
        assert isinstance(last := read_records()[-1], Ended)
        assert last.result == "Metrics"
        return
    with pytest.raises(RunError) as caught:
        conclude(end)
    assert caught.value.reason == reason


def test_only_scalar_metrics_are_kept() -> None:
    given = {"a": 1, "b": 0.5, "c": [1.0], "d": float("inf"), "e": "x", "f": float("nan"), "g": -float("inf")}
    assert numbers(given) == {"a": 1, "b": 0.5, "d": "Infinity", "f": "NaN", "g": "-Infinity"}
    assert numbers(None) == {}


def test_the_installed_tools_hook_only_the_frameworks_processes(tmp_path: Path) -> None:
    tools, own = tmp_path / "tools", tmp_path / "own"
    install(tools)
    install(tools)  # again, as when the init container is repeated
    own.mkdir()
    (own / "sitecustomize.py").write_text("print('the image has one too')")
    env = {
        "PYTHONPATH": os.pathsep.join((str(tools), str(own))),
        "PANAL_RUNTIME": "flower",
        "PANAL_HOOK": "server",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run([sys.executable, "-c", "print('hello')"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "the image has one too\nhello\n"
    assert done.stderr == ""
    usage = subprocess.run([sys.executable, str(tools / "run.py")], capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stderr) == (1, "usage: run.py RUNTIME PROGRAM [ARGUMENTS]\n")


@pytest.mark.parametrize("source", ["raise RuntimeError('x')", "class Strategy:\n    def start(self, unknown): return 'its own'\n"])
def test_an_unknown_module_of_flower_is_not_hooked(tmp_path: Path, source: str) -> None:
    """A hook that does not know the module logs one line, and the app continues."""
    install(tmp_path)
    package = tmp_path / "flwr/serverapp/strategy"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "strategy.py").write_text(source)
    program = "import flwr.serverapp.strategy.strategy as s; print(s.Strategy().start(1))"
    env = {"PYTHONPATH": str(tmp_path), "PANAL_RUNTIME": "flower", "PANAL_HOOK": "server", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    if "raise" in source:
        assert "RuntimeError: x" in done.stderr  # the module's own error is unchanged
    else:
        assert done.stdout == "its own\n"
        assert "flwr.serverapp.strategy.strategy is not hooked" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["superlink", "supernode"])
@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("", "holds no Flower"),
        ("1.99.0", "holds Flower 1.99.0, and panal knows 1."),
    ],
)
def test_an_unsupported_flower_does_not_start(tmp_path: Path, name: str, version: str, said: str) -> None:
    install(tmp_path / "tools")
    if version:
        metadata = tmp_path / f"site/flwr-{version}.dist-info/METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: flwr\nVersion: {version}\n")
        package = tmp_path / f"site/flwr/{name}/cli"
        package.mkdir(parents=True)
        for folder in (package, package.parent, package.parent.parent):
            (folder / "__init__.py").touch()
        (package / f"flower_{name}.py").write_text(f"def flower_{name}(): print('serves')")
    env = {
        "PYTHONPATH": str(tmp_path / "site"), "PATH": os.environ["PATH"],
        "PANAL_RUN_DIR": str(tmp_path), "PANAL_TERMINATION_LOG": str(tmp_path / "end"),
    }  # fmt: skip
    command = [sys.executable, str(tmp_path / "tools/run.py"), "flower", "start", f"flower-{name}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "serves" in done.stdout) == (78, False)
    told_launcher = tmp_path / "progress.jsonl"
    assert told_launcher.exists() == (name == "superlink")
    for found in (json.loads(file.read_text()) for file in (tmp_path / "end", told_launcher) if file.exists()):
        assert found["reason"] == "FlowerNotSupported"
        assert said in found["message"]
        assert f"install {PIN}" in found["message"]


@pytest.mark.parametrize(
    ("name", "said"),
    [(b"pipe.py", "pipe.py in the image is no file"), (b"caf\xe9.py", r"caf.udce9\.py' in the image has a name that is not UTF-8")],
)
def test_files_that_flower_cannot_bundle_are_refused_by_name(tmp_path, name, said):
    """Flower would block on a named pipe."""
    (tmp_path / "fine.py").write_text("")
    (tmp_path / "broken.py").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    refuse_unfit(tmp_path)
    path = tmp_path / os.fsdecode(name)
    os.mkfifo(path) if name == b"pipe.py" else path.write_text("")
    with pytest.raises(RunError, match=said):
        refuse_unfit(tmp_path)
