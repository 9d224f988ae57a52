"""The main container of the aggregator: announces the app hash, waits for the quorum, submits the app, and ends with the run's result.

The hash is announced first, because the controller creates collaborators only for a known hash. An unsupported Flower ends the run before
that (`Control`), so no collaborator is created. Flower reports a run as completed even if no client replied, so `ending` decides the
outcome: a reply must count, and the reporter must have stored the model.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from .. import checkpoint, working_directory
from ..codes import Ending
from ..ending import FILES, conclude, handed_over, main_program, stopped
from ..files import RunError, append, log_line, number, read_records, run_dir
from ..records import Bundle, Connected
from .app_folder import find_app
from .codes import ENDINGS
from .control import Control, RunState, UnreachableError, bundle_app, overrides, refuse_incomplete
from .known import installed

T = TypeVar("T")

KILLED = re.compile(r"The server app was killed by \w+")  # as `deaths` says it, not for lack of memory

# Seconds:
POLL = 0.5  # between two polls while waiting
WATCH = 1.0  # between two polls of a running app
SOON, GROWTH = 0.2, 1.25  # the first pause after a model was handed over, as most runs end then, and the factor for the next ones
REJOIN = 60.0  # for collaborators of the last round, once the quorum is connected
STARTING = 180.0  # until the SuperLink's first answer
SILENT = 120.0  # without an answer of the SuperLink until it counts as lost


def main() -> int:
    return main_program(lambda: Launcher(Control()).run(), "launcher")


@dataclass
class Launcher:
    control: Control
    min_clients: int = field(default_factory=lambda: number("PANAL_MIN_CLIENTS", 1))
    quorum_timeout: int = field(default_factory=lambda: number("PANAL_QUORUM_TIMEOUT", 600))
    connected: int = -1
    answered: float = 0.0  # time of the SuperLink's last answer
    pause: float = WATCH
    models: int = 0  # models handed over so far

    def run(self) -> str:
        folder, project = find_app()
        bundle, config = bundle_app(folder), overrides(project)
        refuse_incomplete(folder, project, bundle)
        append(Bundle(sha256=hashlib.sha256(bundle).hexdigest(), version=installed()))
        self._wait_for_superlink()
        self._wait_for_quorum()
        self._wait_for_the_others()
        log_line(f"submitting {folder} with {config or 'its own configuration'}")
        run = self._ask(lambda: self.control.start(bundle, config))
        end = self._end(run)
        working_directory.hand_over()
        return conclude(end, ENDINGS)

    def _ask(self, question: Callable[[], T]) -> T:
        """Repeats a request until the SuperLink answers. Raises RunError after SILENT seconds."""
        while True:
            try:
                answer = question()
            except UnreachableError as error:
                raise_if_stopped()
                if time.monotonic() - self.answered > SILENT:
                    raise RunError(Ending.AGGREGATOR_LOST, f"The SuperLink no longer answers: {error}") from error
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

    def _wait_for_the_others(self) -> None:
        """If the run goes on after a round, gives its collaborators time to connect again, so that they do not miss the next round."""
        saved = checkpoint.last()
        end = time.monotonic() + REJOIN
        while saved and self._count() < saved.clusters and time.monotonic() < end:
            time.sleep(POLL)

    def _watch(self, run: int) -> RunState:
        """Waits until Flower reports the run as finished. Raises RunError if the quorum is lost."""
        enough = time.monotonic()
        while True:
            state = self._ask(lambda: self.control.state(run))
            if state is None:
                raise RunError(Ending.AGGREGATOR_LOST, "The SuperLink was restarted and no longer has the run")
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
        """Sleeps until the next poll, which comes sooner when a model was handed over."""
        end, self.pause = time.monotonic() + self.pause, min(WATCH, self.pause * GROWTH)
        while time.monotonic() < end:
            time.sleep(FILES)
            if (written := len(handed_over(run_dir()))) != self.models:
                self.models, self.pause = written, SOON
                return

    def _end(self, run: int) -> RunError | None:
        """Waits for the end of the run. Returns the failure, if any."""
        try:
            return failed(self._watch(run))
        except RunError as end:
            return end


def raise_if_stopped() -> None:
    """Raises RunError if the SuperLink or a hook has ended the run with a reason."""
    if found := stopped(read_records(), ENDINGS):
        raise found


def failed(state: RunState) -> RunError | None:
    if state.outcome == "completed":
        return None
    if KILLED.fullmatch(state.details):
        return RunError(Ending.AGGREGATOR_LOST, state.details)
    return RunError(Ending.SERVER_APP_FAILED, state.details or f"Flower says that the run {state.outcome}")
