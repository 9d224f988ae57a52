"""Main container of the aggregator: announces the app's hash, waits for the quorum, submits the app, watches, and ends truthfully.

The hash comes first of all, before anything is waited for: only when it is known are collaborators made, who run this app alone. A Flower
that panal does not know ends the run before that (`Control`), so that nothing is scheduled for it.
Flower calls a run completed whatever its clients did, so the end is judged (`ending`): a site has to have answered, and what the app has
trained has to be stored by the reporter.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

from .. import working_directory
from ..codes import Ending
from ..ending import FILES, handed_over, judged, stopped
from ..files import RunError, append, number, read_records, run_dir, say, terminate
from ..records import Bundle, Connected
from .app_folder import find_app
from .codes import ENDINGS
from .control import Control, RunState, UnreachableError, bundle_app, overrides, refuse_incomplete
from .known import installed

T = TypeVar("T")

POLL = 0.5  # seconds, while it waits for something that takes seconds
WATCH = 1.0  # while the run goes on: each look asks the SuperLink for all nodes
SOON, GROWTH = 0.2, 1.25  # after a model was handed over, which is how most runs end, and how much longer each look makes the next wait
STARTING = 180.0  # the SuperLink's first answer
SILENT = 120.0  # how long it may be silent after that; a restarted one is found out at once, as it does not know the run


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
        return judged(end, ENDINGS)

    def _ask(self, question: Callable[[], T]) -> T:
        """Asks until there is an answer; a SuperLink that is silent for too long is lost, and the run with it."""
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

    def _watch(self, run: int) -> RunState:
        """Until Flower says that the run is finished."""
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


def raise_if_stopped() -> None:
    """The SuperLink, or the hook in the server app, has ended the run with a reason."""
    if found := stopped(read_records(), ENDINGS):
        raise found


def failed(state: RunState) -> RunError | None:
    if state.outcome == "completed":
        return None
    return RunError(Ending.SERVER_APP_FAILED, state.details or f"Flower says that the run {state.outcome}")
