"""Main container of the aggregator: announces the app's hash, waits for the quorum, submits the app, watches, and ends truthfully.

The hash comes first of all, before anything is waited for: only when it is known are collaborators made, who run this app alone. A Flower
that panal does not know ends the run before that (`Control`), so that nothing is scheduled for it.
Flower calls a run completed whatever its clients did, so the end is judged here: a site has to have answered, and what the app has trained
has to be stored by the reporter. A model that was handed over is stored although the app fails afterwards.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

from .. import working_directory
from ..codes import Ending, Result
from ..files import (
    COLLECTED,
    MODEL,
    MODELS,
    STORED,
    STORING,
    Json,
    RunError,
    append,
    number,
    read_json,
    read_records,
    run_dir,
    say,
    terminate,
)
from ..records import Bundle, Connected, Ended, NoModel, Record, Round, Stopped
from .app_folder import find_app
from .codes import ENDINGS
from .control import Control, RunState, UnreachableError, bundle_app, overrides, refuse_incomplete
from .known import installed

T = TypeVar("T")

POLL = 0.5  # seconds, while it waits for something that takes seconds
WATCH = 1.0  # while the run goes on: each look asks the SuperLink for all nodes
SOON, GROWTH = 0.2, 1.25  # after a model was handed over, which is how most runs end, and how much longer each look makes the next wait
FILES = 0.1  # between looks at files of the Pod's own
STARTING = 180.0  # the SuperLink's first answer
SILENT = 120.0  # how long it may be silent after that; a restarted one is found out at once, as it does not know the run
PATIENCE = 600.0  # the reporter without progress


def main() -> int:
    signal.signal(signal.SIGTERM, _terminated)
    try:
        message = Launcher(Control()).run()
    except RunError as end:
        terminate(end.reason, end.message)
        return 1
    except Exception as error:  # noqa: BLE001  whatever it is, the controller gets to know it
        traceback.print_exc()
        terminate(Ending.AGGREGATOR_FAILED, f"The launcher failed: {error!r}")
        return 1
    terminate(Ending.COMPLETED, message)
    return 0


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)


@dataclass
class Launcher:
    control: Control
    min_clients: int = field(default_factory=lambda: number("PANAL_MIN_CLIENTS", 1))
    quorum_timeout: int = field(default_factory=lambda: number("PANAL_QUORUM_TIMEOUT", 600))
    connected: int = -1
    answered: float = 0.0  # when the SuperLink last did; 0: never
    pause: float = WATCH
    models: int = 0  # that were handed over

    def run(self) -> str:
        folder, project = find_app()
        bundle, config = bundle_app(folder), overrides(project)
        refuse_incomplete(folder, project, bundle)
        append(Bundle(sha256=hashlib.sha256(bundle).hexdigest(), version=installed()))
        self._wait_for_superlink()
        self._wait_for_quorum()
        say(f"submitting {folder} with {config or 'its own configuration'}")
        run = self._ask(lambda: self.control.start(bundle, config))
        end = self._end(run)
        working_directory.hand_over()
        return judged(end)

    def _ask(self, question: Callable[[], T]) -> T:
        """Asks until there is an answer; a SuperLink that is silent for too long is lost, and the run with it."""
        while True:
            try:
                answer = question()
            except UnreachableError as error:
                raise_if_stopped()
                if time.monotonic() - self.answered > SILENT:
                    raise RunError(Ending.AGGREGATOR_LOST, f"The SuperLink does not answer any more: {error}") from error
                time.sleep(POLL)
                continue
            self.answered = time.monotonic()
            return answer

    def _wait_for_superlink(self) -> None:
        self.answered = time.monotonic() + STARTING - SILENT
        self._ask(self.control.online)

    def _count(self) -> int:
        count = self._ask(self.control.online)
        if count != self.connected:
            self.connected = count
            append(Connected(count=count))
        return count

    def _wait_for_quorum(self) -> None:
        end = time.monotonic() + self.quorum_timeout
        while (count := self._count()) < self.min_clients:
            if time.monotonic() > end:
                wanted = f"{self.min_clients} are needed (spec.server.minAvailableClients)"
                raise RunError(Ending.QUORUM_NOT_REACHED, f"{count} collaborators connected within {self.quorum_timeout} s, {wanted}")
            time.sleep(POLL)

    def _watch(self, run: int) -> RunState:
        """Until Flower says that the run is finished."""
        enough = time.monotonic()
        while True:
            state = self._ask(lambda: self.control.state(run))
            if state is None:
                raise RunError(Ending.AGGREGATOR_LOST, "The SuperLink was restarted and does not know the run any more")
            if state.finished:
                return state
            if self._count() >= self.min_clients:
                enough = time.monotonic()
            elif time.monotonic() - enough > self.quorum_timeout:
                self.control.stop(run)
                few = f"Fewer than {self.min_clients} collaborators were connected for {self.quorum_timeout} s ({self.connected} now)"
                raise RunError(Ending.QUORUM_LOST, few)
            self._rest()

    def _rest(self) -> None:
        """Until the run is worth another look."""
        end, self.pause = time.monotonic() + self.pause, min(WATCH, self.pause * GROWTH)
        while time.monotonic() < end:
            time.sleep(FILES)
            if (written := len(handed_over(run_dir()))) != self.models:
                self.models, self.pause = written, SOON
                return

    def _end(self, run: int) -> RunError | None:
        """Why the run has failed, as far as Flower knows."""
        try:
            return failed(self._watch(run))
        except RunError as end:
            return end


def judged(end: RunError | None) -> str:
    """What the run came to, or RunError. A model that was handed over is stored first, however the app has ended."""
    kept = wait_until_stored(run_dir())
    events = read_records()
    files = number_of_files()
    trouble = stopped(events) or end or nothing_came(events, bool(kept), files)
    if trouble:
        raise RunError(trouble.reason, f"{trouble.message.rstrip('.')}. {kept}" if kept else trouble.message)
    append(Ended(result=Result.MODEL if kept else Result.FILES if files else Result.METRICS))
    return kept or f"The app has ended; it has left {files or 'no'} files, and no model"


def number_of_files() -> int:
    """Those of the app that the reporter has collected."""
    found = read_json(run_dir() / COLLECTED) or {}
    return int(found.get("status", {}).get("count", 0))


def handed_over(folder: Path) -> list[int]:
    """The calls of `start` that have left a model."""
    return sorted(int(each.parent.name) for each in folder.glob(f"{MODELS}/*/{MODEL}"))


def raise_if_stopped() -> None:
    """The SuperLink, or the hook in the server app, has ended the run with a reason."""
    if found := stopped(read_records()):
        raise found


def stopped(events: list[Record]) -> RunError | None:
    return next((RunError(each.reason, each.message) for each in events if isinstance(each, Stopped) and each.reason in ENDINGS), None)


def failed(state: RunState) -> RunError | None:
    if state.outcome == "completed":
        return None
    return RunError(Ending.SERVER_APP_FAILED, state.details or f"Flower says that the run {state.outcome}")


def nothing_came(events: list[Record], has_model: bool, files: int) -> RunError | None:
    """Why a run that Flower calls completed is not: Flower calls it so whatever the sites did. `spec.result` says what has to come out."""
    if not any(isinstance(each, Round) and each.replies for each in events):
        return RunError(Ending.NO_RESULT, "The server app has ended without a usable reply of any site")
    wanted = os.environ.get("PANAL_RESULT", "")
    missing = next((each.message for each in events if isinstance(each, NoModel)), "")
    if wanted == "Files" and not files:
        return RunError(Ending.MODEL_MISSING, "spec.result is Files, and the server app has left none in its working directory")
    if has_model or wanted in ("Files", "None") or not (missing or wanted == "Model"):
        return None
    return RunError(Ending.MODEL_MISSING, missing or "The server app has ended and left no model")


def wait_until_stored(folder: Path, patience: float = PATIENCE) -> str:
    """Until the reporter has stored every model that was handed over: where the last one is, empty if there is none. `storing` is touched
    by it as long as it gets on."""
    since, touched = time.monotonic(), 0.0
    while True:
        handed = handed_over(folder)
        stored = read_json(folder / STORED) or {}
        found = [stored[str(start)] for start in handed if str(start) in stored]
        if error := next((each["error"] for each in found if each.get("error")), ""):
            raise RunError(Ending.MODEL_NOT_STORED, str(error))
        if len(found) == len(handed):
            return told(found)
        mark = folder / STORING
        if mark.exists() and mark.stat().st_mtime != touched:
            touched, since = mark.stat().st_mtime, time.monotonic()
        if time.monotonic() - since >= patience:
            raise RunError(Ending.MODEL_NOT_STORED, f"The reporter did not store the model within {patience:.0f} s; its log tells more")
        time.sleep(FILES)


def told(models: list[Json]) -> str:
    if not models:
        return ""
    earlier = f"; {len(models) - 1} of earlier calls of start are beside it" if len(models) > 1 else ""
    return f"Model of round {models[-1]['round']} stored as {models[-1]['uri']}{earlier}"
