"""The checkpoints of the user's server (docs/how-to/run-any-container.md).

The server renames a folder in PANAL_CHECKPOINTS to the number of a round. When the records say that the round is complete, the folder is
handed over to the reporter. The server declares in its record `started` that it writes checkpoints. One that goes on from a checkpoint says
so in a record `resumed` before `started`, and its first round has to be the next one. The program adds the file HISTORY to a checkpoint.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from .. import checkpoint
from ..checkpoint import Saved
from ..codes import END, QUERY, TRAIN, Doubt, Ending
from ..files import RunError, append, log_line, read_json, write_json
from ..records import Notice, Number, Record, Resumed, Round, Started

HISTORY = "panal-history.json"  # metrics by phase and round

_ROUND = re.compile(r"[1-9][0-9]{0,17}")
NOT_DECLARED = 'the server does not write checkpoints (its record "started" has no "checkpoints": true)'


class Checkpoints:
    """`folder` is PANAL_CHECKPOINTS, `saved` the checkpoint that the server is given."""

    def __init__(self, folder: Path, saved: Saved | None) -> None:
        self._folder, self._saved = folder, saved
        self._resumed = self._started = self._first = False  # which records were read
        self.complete = saved.round if saved else 0  # the last round that is complete
        self.history: dict[str, dict[int, dict[str, Number]]] = _history(saved.folder) if saved else {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        saved = self._saved
        return {"PANAL_RESUME": str(saved.folder) if saved else "", "PANAL_RESUME_ROUND": str(saved.round) if saved else ""}

    def update(self, records: Iterable[Record]) -> None:
        """Raises RunError if the server does not go on as it says."""
        for record in records:
            match record:
                case Resumed(round=round_):
                    self._resume(round_)
                case Started(checkpoints=declared):
                    self._start(bool(declared))
                case Round(round=round_, phase=phase):
                    if phase in (TRAIN, QUERY, END):
                        self._check_first(round_)
                    self.complete = max(self.complete, round_ if phase == END else 0)
        self._publish()

    def _resume(self, round_: int) -> None:
        if self._saved is None or round_ != self._saved.round or self._started:
            found = f"its checkpoint is of round {self._saved.round}" if self._saved else "it has no checkpoint"
            late = ", and the training has started" if self._started else ""
            raise RunError(Ending.SERVER_APP_FAILED, f"The server goes on after round {round_}, but {found}{late}")
        self._resumed = True
        log_line(f"the server goes on after round {round_}, from its checkpoint")

    def _start(self, declared: bool) -> None:
        if not self._started and not declared:
            append(Notice(kind=Doubt.NOT_RESUMABLE, message=NOT_DECLARED))
        self._started = True
        self._require_resumed()

    def _require_resumed(self) -> None:
        if self._saved and not self._resumed:
            checkpoint.reset()
            raise RunError(Ending.STATE_LOST, f"The server did not go on from the checkpoint of round {self._saved.round}")

    def _check_first(self, round_: int) -> None:
        if self._first:
            return
        if not self._started:
            self._start(declared=False)
        self._first = True
        if self._saved and round_ != self._saved.round + 1:
            raise RunError(Ending.SERVER_APP_FAILED, f"The server goes on after round {self._saved.round}, but reports round {round_} next")

    def _publish(self) -> None:
        """Hands over the checkpoint of the last round that is complete, and drops earlier ones."""
        waiting = sorted(number for number in self._found() if number <= self.complete)
        for number in waiting[:-1]:
            shutil.rmtree(self._folder / str(number), ignore_errors=True)
        if waiting:
            self._publish_one(self._folder / str(waiting[-1]), waiting[-1])

    def _publish_one(self, folder: Path, number: int) -> None:
        try:
            _add_history(folder, self.history, number)
            _make_readable(folder)
            checkpoint.publish(folder, number)
        except OSError as error:
            log_line(f"the checkpoint of round {number} is not handed over: {error}")
            shutil.rmtree(folder, ignore_errors=True)

    def _found(self) -> list[int]:
        try:
            with os.scandir(self._folder) as entries:
                return [int(each.name) for each in entries if _ROUND.fullmatch(each.name) and each.is_dir(follow_symlinks=False)]
        except OSError:  # the server has removed or replaced it
            return []


def _add_history(folder: Path, history: dict[str, dict[int, dict[str, Number]]], last: int) -> None:
    write_json(folder / HISTORY, {phase: {n: found for n, found in rounds.items() if n <= last} for phase, rounds in history.items()})


def _history(folder: Path) -> dict[str, dict[int, dict[str, Number]]]:
    found = read_json(folder / HISTORY) or {}
    return {phase: {int(number): metrics for number, metrics in rounds.items()} for phase, rounds in found.items()}


def _make_readable(folder: Path) -> None:
    """For the Pod's group, to which the reporter belongs: the server may have made the files with `tempfile`."""
    folder.chmod(0o775)
    for each in folder.iterdir():
        mode = each.lstat().st_mode
        if stat.S_ISREG(mode):
            each.chmod(stat.S_IMODE(mode) | 0o440)
