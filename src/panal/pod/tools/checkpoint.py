"""Checkpoints: the state of a run after a round, from which the next aggregator goes on if this one is lost or the run is suspended.

The program that runs the rounds writes a checkpoint after each of them (`write`). The reporter moves it into the run's storage. When an
aggregator starts, the reporter puts the last intact checkpoint into the run's folder, and the program reads it (`last`). A checkpoint is a
folder of files: model.npz has arrays, and model.json everything else. Nothing is pickled.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .codes import Ending
from .files import ARRAYS, CHECKPOINTS, MODEL, RESUME, RESUMED, Json, RunError, append, log_line, read_json, run_dir
from .model import write_model
from .records import Checkpoint, Resumed

WAIT = 0.1  # seconds between two looks
PATIENCE = 600.0  # seconds for the reporter to read or to store a checkpoint
CONTENT, HISTORY = "checkpoint.json", "history.jsonl.gz"  # what the reporter adds
PENDING = 2  # checkpoints that wait for the reporter


@dataclass(frozen=True)
class Saved:
    """The checkpoint of `round`. `state` is what `write` was given."""

    round: int
    folder: Path

    @property
    def state(self) -> Json:
        return read_json(self.folder / MODEL) or {}

    @property
    def clusters(self) -> int:
        """How many clusters contributed to the round."""
        contributed = (read_json(self.folder / CONTENT) or {}).get("clusters") or {}
        return sum(self.round in rounds for rounds in contributed.values())

    def arrays(self) -> dict[str, Any]:
        """numpy arrays by name, in the order in which they were written."""
        import numpy as np

        with np.load(self.folder / ARRAYS, allow_pickle=False) as archive:
            return {name: archive[str(index)] for index, name in enumerate(self.state["arrays"])}


def write(round_: int, arrays: Iterable[tuple[str, Any]], state: Mapping[str, Any]) -> None:
    """Writes the checkpoint of `round_`, the last round that is complete. `arrays` are names with numpy arrays; `state` is JSON. The
    reporter stores it while the next round goes on. Raises OSError."""
    part = run_dir() / CHECKPOINTS / f".{round_}.part"
    shutil.rmtree(part, ignore_errors=True)
    write_model(part, arrays, {**state, "round": round_})
    publish(part, round_)


def publish(part: Path, round_: int) -> None:
    """Hands the folder `part` over to the reporter as the checkpoint of `round_`. `part` is on the volume of the run's folder."""
    folder = run_dir() / CHECKPOINTS / str(round_)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for each in (folder.parent, part):
        each.chmod(0o775)  # the reporter, a member of the Pod's group, removes the folder
    part.rename(folder)
    append(Checkpoint(round=round_))
    for older in pending()[:-PENDING]:
        shutil.rmtree(run_dir() / CHECKPOINTS / str(older), ignore_errors=True)


def pending() -> list[int]:
    """The rounds of the checkpoints that the reporter has not stored yet."""
    return sorted(int(each.name) for each in (run_dir() / CHECKPOINTS).glob("[0-9]*") if each.name.isdecimal())


def last(patience: float = PATIENCE) -> Saved | None:
    """The checkpoint from which the run goes on; None if it starts with the first round. Waits until the reporter has looked for it."""
    end = time.monotonic() + patience
    while (found := read_json(run_dir() / RESUMED)) is None:
        if time.monotonic() >= end:
            raise RunError(Ending.AGGREGATOR_LOST, f"The reporter did not look for a checkpoint within {patience:.0f} s; see its log")
        time.sleep(WAIT)
    return Saved(int(found["round"]), run_dir() / RESUME) if found.get("round") else None


def resumed(saved: Saved) -> None:
    """Reports that the run goes on after the round of this checkpoint."""
    log_line(f"going on after round {saved.round}, from its checkpoint")
    append(Resumed(round=saved.round))


def reset(patience: float = PATIENCE) -> None:
    """Makes the next aggregator start with the first round. Waits until the reporter has stored that."""
    write(0, (), {})
    end = time.monotonic() + patience
    while 0 in pending() and time.monotonic() < end:
        time.sleep(WAIT)
