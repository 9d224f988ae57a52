"""What becomes of the checkpoints of the user's server, and whether it goes on as it says. Real files, no processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from panal.pod.tools import checkpoint
from panal.pod.tools.checkpoint import Saved
from panal.pod.tools.files import RunError, read_records
from panal.pod.tools.other.checkpoints import HISTORY, Checkpoints
from panal.pod.tools.records import Checkpoint, Notice, Record, Resumed, Round, Started

STARTED = Started(rounds=9, checkpoints=True)


@pytest.fixture(autouse=True)
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def new(run_dir: Path) -> Path:
    return run_dir / "new"


@pytest.fixture
def saved(run_dir: Path) -> Saved:
    (run_dir / "resume").mkdir()
    return Saved(2, run_dir / "resume")


def end(number: int) -> Round:
    return Round(round=number, phase="end")


def train(number: int) -> Round:
    return Round(round=number, phase="train", replies=1)


def save(new: Path, name: str) -> Path:
    (new / name).mkdir()
    (new / name / "model").write_text(name)
    return new / name


def handed_over(run_dir: Path) -> list[str]:
    return sorted(each.name for each in (run_dir / "checkpoints").glob("*"))


def test_the_last_complete_round_is_handed_over_with_the_history(run_dir: Path, new: Path) -> None:
    checkpoints = Checkpoints(new, None)
    checkpoints.history["train"] = {1: {"loss": 0.5}, 2: {"loss": 0.25}, 3: {"loss": 0.1}}
    for name in ("1", "2", "3"):
        save(new, name)
    checkpoints.update([STARTED, end(1), end(2), train(3)])
    assert (handed_over(run_dir), os.listdir(new)) == (["2"], ["3"])
    assert (run_dir / "checkpoints/2/model").read_text() == "2"
    assert json.loads((run_dir / "checkpoints/2" / HISTORY).read_text()) == {"train": {"1": {"loss": 0.5}, "2": {"loss": 0.25}}}
    checkpoints.update([end(3)])
    assert handed_over(run_dir) == ["2", "3"]
    assert [r.round for r in read_records() if isinstance(r, Checkpoint)] == [2, 3]


def test_only_folders_with_the_number_of_a_round_are_handed_over(run_dir: Path, new: Path) -> None:
    checkpoints = Checkpoints(new, None)
    for name in ("part", "0", "01", "-1", "1.part", "\u0661", "9" * 30):
        save(new, name)
    (new / "2").write_text("a file")
    (new / "3").symlink_to(save(new, "linked"))
    checkpoints.update([STARTED, end(1), end(2), end(3)])
    assert handed_over(run_dir) == []


def test_private_files_become_readable_for_the_reporter(run_dir: Path, new: Path) -> None:
    checkpoints = Checkpoints(new, None)
    folder = save(new, "1")
    (folder / "model").chmod(0o600)
    (folder / "link").symlink_to("model")
    folder.chmod(0o700)
    checkpoints.update([STARTED, end(1)])
    found = run_dir / "checkpoints/1"
    assert (found.stat().st_mode & 0o777, (found / "model").stat().st_mode & 0o777) == (0o775, 0o640)


def test_a_removed_folder_does_not_end_the_run(new: Path) -> None:
    checkpoints = Checkpoints(new, None)
    new.rmdir()
    checkpoints.update([STARTED, end(1)])


@pytest.mark.parametrize(("declared", "notices"), [(True, 0), (False, 1), (None, 1)])
def test_a_server_without_checkpoints_is_named_when_it_starts(new: Path, declared: bool | None, notices: int) -> None:
    Checkpoints(new, None).update([Started(rounds=9, checkpoints=declared)])
    assert [r.kind for r in read_records() if isinstance(r, Notice)] == ["NotResumable"] * notices


def test_the_server_gets_the_last_checkpoint(new: Path, saved: Saved) -> None:
    assert Checkpoints(new, None).environment == {"PANAL_RESUME": "", "PANAL_RESUME_ROUND": ""}
    (saved.folder / HISTORY).write_text('{"train": {"2": {"loss": 0.5}}}')
    found = Checkpoints(new, saved)
    assert found.environment == {"PANAL_RESUME": str(saved.folder), "PANAL_RESUME_ROUND": "2"}
    assert (found.complete, found.history) == (2, {"train": {2: {"loss": 0.5}}})


def test_it_goes_on_with_the_next_round(run_dir: Path, new: Path, saved: Saved) -> None:
    checkpoints = Checkpoints(new, saved)
    checkpoints.update([Resumed(round=2), STARTED, Round(round=2, phase="evaluate"), train(3)])
    save(new, "3")
    checkpoints.update([end(3), train(4), end(4)])
    assert handed_over(run_dir) == ["3"]


@pytest.mark.parametrize(
    ("records", "reason", "message"),
    [
        ([STARTED], "StateLost", "The server did not go on from the checkpoint of round 2"),
        ([train(1)], "StateLost", "The server did not go on from the checkpoint of round 2"),
        ([Resumed(round=1)], "ServerAppFailed", "The server goes on after round 1, but its checkpoint is of round 2"),
        ([Resumed(round=2), STARTED, train(1)], "ServerAppFailed", "The server goes on after round 2, but reports round 1 next"),
        ([Resumed(round=2), STARTED, train(4)], "ServerAppFailed", "The server goes on after round 2, but reports round 4 next"),
    ],
)
def test_one_that_does_not_go_on_as_it_says_ends(
    new: Path, saved: Saved, monkeypatch: pytest.MonkeyPatch, records: list[Record], reason: str, message: str
) -> None:
    resets: list[bool] = []
    monkeypatch.setattr(checkpoint, "reset", lambda: resets.append(True))
    with pytest.raises(RunError) as found:
        Checkpoints(new, saved).update(records)
    assert (found.value.reason, found.value.message) == (reason, message)
    assert bool(resets) == (reason == "StateLost")
