"""Decides how a run ends, for the main container of any runtime: from the records, the app's result and the reporter's files.

A run needs at least one reply that counts. The container waits until the reporter has stored every model that was handed over, even if the
app failed, because the run ends with the container.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Container
from pathlib import Path
from types import FrameType

from .codes import FAILURES, Ending, Result
from .export.declared import announce
from .files import (
    COLLECTED,
    EVALUATED,
    EVALUATION,
    MODEL,
    MODELS,
    STORED,
    STORING,
    Json,
    RunError,
    append,
    read_json,
    read_records,
    run_dir,
    terminate,
)
from .records import Ended, NoModel, Record, Resumed, Round, Stopped

FILES = 0.1  # seconds between two reads of the Pod's files
PATIENCE = 600.0  # seconds without a sign of progress of the reporter
TERMINATED = 143  # 128 + SIGTERM


def main_program(run: Callable[[], str], name: str) -> int:
    """Runs the main program `name` of an aggregator, writes the termination message, and returns the exit code. `run` returns the message
    of a completed run, or raises RunError. SIGTERM ends the program with 143."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        announce()
        message = run()
    except RunError as end:
        terminate(end.reason, end.message)
        return 1
    except Exception as error:  # noqa: BLE001  the status reports every failure
        traceback.print_exc()
        terminate(Ending.AGGREGATOR_FAILED, f"The {name} failed: {error!r}")
        return 1
    terminate(Ending.COMPLETED, message)
    return 0


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


def conclude(end: RunError | None, endings: Container[str] = FAILURES) -> str:
    """The message of a completed run. Raises RunError for a failed one.

    `end` is the failure that the framework reports, if any; `endings` are the codes with which a record may end the run.
    """
    stored = wait_until_stored(run_dir())
    evaluated = wait_until_evaluated(run_dir())
    events = read_records()
    files = number_of_files()
    trouble = stopped(events, endings) or end or missing_result(events, bool(stored), files)
    if trouble:
        raise trouble  # where its model is, the status says
    append(Ended(result=Result.MODEL if stored else Result.FILES if files else Result.METRICS))
    return stored or evaluated or f"The app has ended; it has left {files or 'no'} files, and no model"


def number_of_files() -> int:
    """The number of the app's files that the reporter has collected."""
    found = read_json(run_dir() / COLLECTED) or {}
    return int(found.get("status", {}).get("count", 0))


def handed_over(folder: Path) -> list[int]:
    """The numbers of the models that were handed over so far."""
    return sorted(int(each.parent.name) for each in folder.glob(f"{MODELS}/*/{MODEL}"))


def stopped(events: list[Record], endings: Container[str] = FAILURES) -> RunError | None:
    """The first record by which another program of the Pod ends the run."""
    return next((RunError(each.reason, each.message) for each in events if isinstance(each, Stopped) and each.reason in endings), None)


def missing_result(events: list[Record], has_model: bool, files: int) -> RunError | None:
    """Why a run is failed although the framework reports success: no reply counts, or the result that `spec.result` requires is missing.
    A run that goes on after a round has had replies."""
    if not any(isinstance(each, Resumed) or (isinstance(each, Round) and each.replies) for each in events):
        return RunError(Ending.NO_RESULT, "The server app ended without a reply that counts from any site")
    wanted = os.environ.get("PANAL_RESULT", "")
    missing = next((each.message for each in events if isinstance(each, NoModel)), "")
    if wanted == "Files" and not files:
        return RunError(Ending.MODEL_MISSING, "spec.result is Files, and the server app wrote no file to its working directory")
    if has_model or wanted in ("Files", "None") or not (missing or wanted == "Model"):
        return None
    return RunError(Ending.MODEL_MISSING, missing or "The server app ended without a model")


def wait_until_stored(folder: Path, patience: float = PATIENCE) -> str:
    """Waits until the reporter has stored every model that was handed over. Returns a message with the location of the last one; empty if
    there is none. Raises RunError if storing fails, or if the reporter has not touched `storing` for `patience` seconds."""
    silent = silence(folder)
    while True:
        handed = handed_over(folder)
        stored = read_json(folder / STORED) or {}
        found = [stored[str(start)] for start in handed if str(start) in stored]
        if error := next((each["error"] for each in found if each.get("error")), ""):
            raise RunError(Ending.MODEL_NOT_STORED, str(error))
        if len(found) == len(handed):
            return stored_message(found)
        if silent() >= patience:
            raise RunError(Ending.MODEL_NOT_STORED, f"The reporter did not store the model within {patience:.0f} s; see its log")
        time.sleep(FILES)


def wait_until_evaluated(folder: Path, patience: float = PATIENCE) -> str:
    """Waits until the reporter has stored the table of an evaluation, if there is one. Returns a message with its location. Raises RunError
    as `wait_until_stored` does."""
    silent = silence(folder)
    while (folder / EVALUATION).exists():
        if found := read_json(folder / EVALUATED):
            if error := found.get("error"):
                raise RunError(Ending.MODEL_NOT_STORED, str(error))
            return f"Evaluation stored as {found.get('uri')}"
        if silent() >= patience:
            raise RunError(Ending.MODEL_NOT_STORED, f"The reporter did not store the evaluation within {patience:.0f} s; see its log")
        time.sleep(FILES)
    return ""


def silence(folder: Path) -> Callable[[], float]:
    """Returns a function that says for how many seconds the reporter has not touched `storing`, counted from this call."""
    mark, since, touched = folder / STORING, time.monotonic(), 0.0

    def silent() -> float:
        nonlocal since, touched
        if mark.exists() and mark.stat().st_mtime != touched:
            touched, since = mark.stat().st_mtime, time.monotonic()
        return time.monotonic() - since

    return silent


def stored_message(models: list[Json]) -> str:
    if not models:
        return ""
    earlier = f"; models of {len(models) - 1} earlier calls of start are next to it" if len(models) > 1 else ""
    return f"Model of round {models[-1]['round']} stored as {models[-1]['uri']}{earlier}"
