"""Stores the checkpoints of a run beside its model, and finds the one from which the next aggregator goes on.

`checkpoints/<round>/` has the files of the runtime, the history (`panal.pod.history`), and checkpoint.json: the sizes and SHA-256 sums of
these, the progress after that round, and the rounds of each cluster. A checkpoint appears all at once (`shelf`), and is used only if every
sum is right. The last two are kept. The files of the runtime come from the user's image and are not trusted: only regular files with plain
names are copied, and links are not followed.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from panal.api.progress import Progress
from panal.api.text import shown
from panal.pod.shelf import DamagedError, Shelf, copy_file, summed
from panal.pod.storage_errors import StorageError
from panal.pod.tools.checkpoint import CONTENT, HISTORY, PENDING
from panal.pod.tools.files import CHECKPOINTS, RESUME, RESUMED, replace

log = logging.getLogger("panal.reporter")

KEPT = 2
MAX_FILES = 64
MAX_CONTENT = 8 << 20  # bytes of checkpoint.json
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The progress after a round, the rounds to which each cluster contributed, and the history, packed."""

    progress: Progress
    clusters: Mapping[str, list[int]]
    history: bytes = b""


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of a run whose files are in `run_dir`. They are stored on `shelf`."""

    run_dir: Path
    shelf: Shelf
    taken: dict[int, Snapshot] = field(default_factory=dict)  # of checkpoints that are not stored yet
    removed: bool = False

    def take(self, round_: int, snapshot: Snapshot) -> None:
        """Keeps the progress for the checkpoint of `round_`, which the runtime has handed over. Only the last ones have files."""
        self.taken.pop(round_, None)
        self.taken[round_] = snapshot
        for older in list(self.taken)[:-PENDING]:
            self.taken.pop(older, None)

    def store_newest(self) -> int | None:
        """Stores the newest checkpoint that was handed over, and drops older ones. Returns its round; None if there is none. Raises
        OSError, DamagedError and StorageError."""
        snapshots = dict(self.taken)  # others are added meanwhile
        taken = list(snapshots)
        waiting = [number for number in taken if (self._source / str(number)).is_dir()]
        for number in set(taken) - set(waiting):
            self.taken.pop(number, None)
        if not waiting:
            return None
        newest = max(waiting) if 0 not in waiting else 0  # 0: the run starts again with the first round
        try:
            self._store(newest, snapshots[newest])
        except FileNotFoundError:
            if not self._newer_than(newest):
                raise
            return None  # the runtime has replaced it meanwhile
        finally:
            for number in waiting:
                shutil.rmtree(self._source / str(number), ignore_errors=True)
                self.taken.pop(number, None)
        return newest

    def _newer_than(self, round_: int) -> bool:
        return any(each.name.isdecimal() and int(each.name) > round_ for each in self._source.glob("[0-9]*"))

    def _store(self, round_: int, snapshot: Snapshot) -> None:
        part = self.shelf.part(round_)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            files = {name: copy_file(self._source / str(round_) / name, part / name) for name in _names(self._source / str(round_))}
            if snapshot.history:
                (part / HISTORY).write_bytes(snapshot.history)
                files[HISTORY] = summed(part / HISTORY)
            content = {
                "round": round_,
                "files": files,
                "progress": snapshot.progress.model_dump(mode="json"),
                "clusters": snapshot.clusters,
            }
            replace(part / CONTENT, json.dumps(content), durable=True)
            for other in self.shelf.rounds():
                if other >= round_:  # of an attempt that started again before this round
                    self.shelf.drop(other)
            self.shelf.put(round_, part)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        for older in self.shelf.rounds()[KEPT:]:
            self.shelf.drop(older)

    def restore(self) -> str:
        """Puts the last intact checkpoint into the run's folder and writes its round to RESUMED, once for this Pod. Returns what is wrong
        with newer checkpoints; empty if nothing is. Raises StorageError if the storage cannot be read at all."""
        if (self.run_dir / RESUMED).exists():
            return ""
        wrong, round_ = [], 0
        for number in self.shelf.rounds():
            try:
                if number:
                    self._fetch(number)
                round_ = number
                break
            except (OSError, ValueError, KeyError, TypeError, AttributeError, DamagedError) as error:
                wrong.append(f"the checkpoint of round {number} cannot be read: {shown(str(error), 300)}")
        replace(self.run_dir / RESUMED, json.dumps({"round": round_}))
        return "; ".join(wrong)

    def _fetch(self, round_: int) -> None:
        part = self.run_dir / f".{RESUME}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(self.run_dir / RESUME, ignore_errors=True)
        part.mkdir()
        try:
            self.shelf.get(round_, CONTENT, part / CONTENT)
            for name, expected in _content(part)["files"].items():
                if not _NAME.fullmatch(name) or self.shelf.get(round_, name, part / name) != expected:
                    raise DamagedError(f"{name} has changed")
            part.chmod(0o755)
            part.rename(self.run_dir / RESUME)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def restored(self, round_: int) -> Snapshot | None:
        """The progress after the round from which the run goes on; None if that is another round than `round_`."""
        try:
            content = _content(self.run_dir / RESUME)
            if content["round"] != round_:
                return None
            history = self.run_dir / RESUME / HISTORY
            return Snapshot(
                Progress.model_validate(content["progress"]),
                {str(c): list(map(int, r)) for c, r in content["clusters"].items()},
                history.read_bytes() if HISTORY in content["files"] else b"",
            )
        except (OSError, ValueError, ValidationError, KeyError, TypeError, AttributeError):
            return None

    def remove(self) -> None:
        """The run has its result: nothing will go on from here."""
        if self.removed:
            return
        self.removed = True
        try:
            self.shelf.clear()
        except StorageError as error:
            log.warning("the checkpoints are not removed: %s", error)

    @property
    def _source(self) -> Path:
        return self.run_dir / CHECKPOINTS


def _content(folder: Path) -> dict[str, Any]:
    with (folder / CONTENT).open("rb") as file:
        found: dict[str, Any] = json.loads(file.read(MAX_CONTENT))
    return found


def _names(folder: Path) -> list[str]:
    found = sorted(each.name for each in folder.iterdir())
    if unfit := next((name for name in found if not _NAME.fullmatch(name) or name in (CONTENT, HISTORY)), ""):
        raise DamagedError(f"a checkpoint may not have a file {unfit!r}")
    if not 0 < len(found) <= MAX_FILES:
        raise DamagedError(f"a checkpoint has 1 to {MAX_FILES} files, this one {len(found)}")
    return found
