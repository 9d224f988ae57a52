"""Checkpoints between the runtime's program, the reporter and the storage, with real files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from panal.api.progress import Progress
from panal.pod import checkpointing
from panal.pod.checkpointing import KEPT, Checkpoints, Snapshot
from panal.pod.fold import resumed
from panal.pod.shelf import DamagedError, FolderShelf
from panal.pod.tools import checkpoint
from panal.pod.tools.files import RESUME, RESUMED, RunError, read_records
from panal.pod.tools.records import Checkpoint


@pytest.fixture
def attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Checkpoints]:
    """Starts another Pod of the run: an empty run folder, and the same storage."""
    count = iter(range(100))

    def start() -> Checkpoints:
        run_dir = tmp_path / f"run-{next(count)}"
        run_dir.mkdir()
        monkeypatch.setenv("PANAL_RUN_DIR", str(run_dir))
        return Checkpoints(run_dir, FolderShelf(tmp_path / "storage/checkpoints"))

    return start


def write(at: Checkpoints, round_: int) -> None:
    checkpoint.write(round_, [("w", np.full(3, float(round_))), ("a/b", np.arange(2))], {"about": f"round {round_}"})
    at.take(round_, Snapshot(Progress(rounds_completed=round_, metrics={"loss": 0.5}), {"cluster1": list(range(1, round_ + 1))}))


def stored(at: Checkpoints) -> list[str]:
    return sorted(each.name for each in folder(at).iterdir())


def folder(at: Checkpoints) -> Path:
    assert isinstance(at.shelf, FolderShelf)
    return at.shelf.folder


def test_a_run_without_checkpoints_starts_with_the_first_round(attempts: Callable[[], Checkpoints]) -> None:
    assert attempts().restore() == ""
    assert checkpoint.last() is None


def test_the_last_checkpoint_is_what_was_written(attempts: Callable[[], Checkpoints]) -> None:
    first = attempts()
    for round_ in (1, 2, 3):
        write(first, round_)
        assert first.store_newest() == round_
    assert first.store_newest() is None
    assert stored(first) == ["000002", "000003"]
    second = attempts()
    assert second.restore() == ""
    saved = checkpoint.last()
    assert saved
    assert (saved.round, saved.state["about"]) == (3, "round 3")
    arrays = saved.arrays()
    assert list(arrays) == ["w", "a/b"]
    assert np.array_equal(arrays["w"], np.full(3, 3.0))
    before = second.restored(3)
    assert before
    assert before.clusters == {"cluster1": [1, 2, 3]}
    now = resumed(Progress(attempt="new", app_hash="a" * 64, connected=2), before.progress, 3)
    assert (now.attempt, now.connected, now.rounds_completed, now.metrics) == ("new", 2, 3, {"loss": 0.5})
    assert (now.checkpoint, now.resumed) == (3, 3)
    assert second.restored(2) is None


def test_only_the_newest_of_several_is_stored(attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    for round_ in (1, 2, 3, 4):
        write(at, round_)
    assert checkpoint.pending() == [3, 4]
    assert at.store_newest() == 4
    assert (stored(at), checkpoint.pending(), at.taken) == (["000004"], [], {})
    assert [r.round for r in read_records() if isinstance(r, Checkpoint)] == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "no list", "list is no JSON"])
def test_a_damaged_checkpoint_is_not_used(attempts: Callable[[], Checkpoints], damage: str) -> None:
    at = attempts()
    for round_ in (1, 2):
        write(at, round_)
        at.store_newest()
    second = folder(at) / "000002"
    arrays, content = second / "model.npz", second / "checkpoint.json"
    match damage:
        case "changed":
            arrays.write_bytes(arrays.read_bytes()[:-1] + b"!")
        case "cut":
            arrays.write_bytes(arrays.read_bytes()[:-10])
        case "missing":
            arrays.unlink()
        case "no list":
            content.unlink()
        case _:
            content.write_text("[1")
    later = attempts()
    assert "the checkpoint of round 2 cannot be read" in later.restore()
    saved = checkpoint.last()
    assert saved
    assert saved.round == 1
    write(later, 2)
    assert later.store_newest() == 2
    assert attempts().restore() == ""


def test_nothing_is_used_if_all_are_damaged(attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    write(at, 1)
    at.store_newest()
    (folder(at) / "000001/model.json").write_text("{}")
    assert "round 1" in attempts().restore()
    assert checkpoint.last() is None


def test_a_reporter_that_starts_again_changes_nothing(attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    write(at, 1)
    at.store_newest()
    again = attempts()
    again.restore()
    write(again, 2)
    twin = Checkpoints(again.run_dir, again.shelf)
    assert twin.restore() == ""
    saved = checkpoint.last()
    assert saved
    assert saved.round == 1
    twin.take(2, Snapshot(Progress(), {}))
    assert twin.store_newest() == 2


def test_a_run_that_starts_again_with_the_first_round_drops_later_checkpoints(attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    for round_ in (6, 7):
        write(at, round_)
        at.store_newest()
    again = attempts()
    again.restore()
    write(again, 1)
    again.store_newest()
    assert stored(again) == ["000001"]


def test_a_reset_run_starts_with_the_first_round(attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    write(at, 6)
    at.store_newest()
    write(at, 7)
    checkpoint.write(0, (), {})
    at.take(0, Snapshot(Progress(), {}))
    assert at.store_newest() == 0
    assert stored(at) == ["000000"]
    attempts().restore()
    assert checkpoint.last() is None


def test_links_and_foreign_names_are_not_stored(attempts: Callable[[], Checkpoints], tmp_path: Path) -> None:
    at = attempts()
    secret = tmp_path / "secret"
    secret.write_text("token")

    def refused(name: str, make: Callable[[Path], None]) -> None:
        write(at, 1)
        make(at.run_dir / "checkpoints/1" / name)
        with pytest.raises((OSError, DamagedError)):
            at.store_newest()
        assert stored(at) == []
        assert checkpoint.pending() == []

    refused("link", lambda path: path.symlink_to(secret))
    refused("fifo", os.mkfifo)
    refused("folder", Path.mkdir)
    refused(".hidden", Path.touch)
    refused("checkpoint.json", Path.touch)
    refused("a b", Path.touch)


def test_a_stored_list_cannot_lead_out_of_the_checkpoint(attempts: Callable[[], Checkpoints], tmp_path: Path) -> None:
    at = attempts()
    write(at, 1)
    at.store_newest()
    path = folder(at) / "000001/checkpoint.json"
    content = json.loads(path.read_text())
    content["files"]["../../secret"] = content["files"]["model.npz"]
    path.write_text(json.dumps(content))
    assert "cannot be read" in attempts().restore()


def test_a_full_volume_keeps_what_is_stored(attempts: Callable[[], Checkpoints], monkeypatch: pytest.MonkeyPatch) -> None:
    at = attempts()
    write(at, 1)
    at.store_newest()
    write(at, 2)
    folder(at).chmod(0o755)

    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("panal.pod.checkpointing.copy_file", full)
    with pytest.raises(OSError, match="No space left"):
        at.store_newest()
    assert stored(at) == ["000001"]


def test_the_program_waits_for_the_reporter(attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    with pytest.raises(RunError, match="did not look for a checkpoint"):
        checkpoint.last(patience=0.0)
    at.restore()
    assert sorted(each.name for each in at.run_dir.iterdir()) == [RESUMED]
    assert RESUME not in os.listdir(at.run_dir)


def test_a_run_with_a_result_keeps_no_checkpoint(attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    write(at, 1)
    at.store_newest()
    at.remove()
    at.remove()
    assert not folder(at).exists()
    assert KEPT == 2


def test_one_that_is_replaced_while_it_is_copied_is_no_failure(
    attempts: Callable[[], Checkpoints], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = attempts()
    write(at, 1)
    copy = checkpointing.copy_file

    def late(source: Path, target: Path) -> dict[str, object]:
        monkeypatch.setattr(checkpointing, "copy_file", copy)
        for round_ in (2, 3):
            write(at, round_)
        return copy(source, target)

    monkeypatch.setattr(checkpointing, "copy_file", late)
    assert at.store_newest() is None
    assert at.store_newest() == 3
    assert stored(at) == ["000003"]
