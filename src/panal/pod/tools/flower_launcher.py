"""Main container of the aggregator: announces the app's hash, waits for the quorum, submits the app, watches, and ends truthfully.

The hash comes first of all, before anything is waited for: only when it is known are collaborators made, who run this app alone. A Flower
that panal does not know ends the run before that (`Control`), so that nothing is scheduled for it.
Flower calls a run completed whatever its clients did, so the end is judged here: a model has to come out, and the reporter has to
have stored it. The one exception is an app that does not use `Strategy.start`: nothing of it can be seen, so Flower's word is
taken; if it leaves a model in /panal/run all the same, that model is stored and waited for like any other.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

from .files import Record, RunError, append, number, read_json, records, run_dir, say, terminate
from .flower_control import Control, RunState, UnreachableError, bundle_app, find_app, overrides
from .flower_known import installed

T = TypeVar("T")

POLL = 0.5  # seconds, while it waits for something that takes seconds
WATCH = 1.0  # while the run goes on: each look is lines in the SuperLink's log
STARTING = 180.0  # the SuperLink's first answer
SILENT = 120.0  # how long it may be silent after that; a restarted one is found out at once, as it does not know the run
STORING = 600.0  # the reporter without progress


def main() -> int:
    signal.signal(signal.SIGTERM, _terminated)
    try:
        message = Launcher(Control()).run()
    except RunError as end:
        terminate(end.reason, end.message)
        return 1
    except Exception as error:  # noqa: BLE001  whatever it is, the controller gets to know it
        traceback.print_exc()
        terminate("AggregatorFailed", f"The launcher failed: {error!r}")
        return 1
    terminate("Completed", message)
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

    def run(self) -> str:
        folder, project = find_app()
        bundle, config = bundle_app(folder), overrides(project)
        append({"event": "bundle", "sha256": hashlib.sha256(bundle).hexdigest(), "flower": installed()})
        self._wait_for_superlink()
        self._wait_for_quorum()
        say(f"submitting {folder} with {config or 'its own configuration'}")
        run = self._ask(lambda: self.control.start(bundle, config))
        return self._judge(self._watch(run))

    def _ask(self, question: Callable[[], T]) -> T:
        """Asks until there is an answer; a SuperLink that is silent for too long is lost, and the run with it."""
        while True:
            try:
                answer = question()
            except UnreachableError as error:
                raise_if_stopped()
                if time.monotonic() - self.answered > SILENT:
                    raise RunError("AggregatorLost", f"The SuperLink does not answer any more: {error}") from error
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
            append({"event": "connected", "count": count})
        return count

    def _wait_for_quorum(self) -> None:
        end = time.monotonic() + self.quorum_timeout
        while (count := self._count()) < self.min_clients:
            if time.monotonic() > end:
                wanted = f"{self.min_clients} are needed (spec.server.minAvailableClients)"
                raise RunError("QuorumNotReached", f"{count} collaborators connected within {self.quorum_timeout} s, {wanted}")
            time.sleep(POLL)

    def _watch(self, run: int) -> RunState:
        """Until Flower says that the run is finished."""
        enough = time.monotonic()
        while True:
            state = self._ask(lambda: self.control.state(run))
            if state is None:
                raise RunError("AggregatorLost", "The SuperLink was restarted and does not know the run any more")
            if state.finished:
                return state
            if self._count() >= self.min_clients:
                enough = time.monotonic()
            elif time.monotonic() - enough > self.quorum_timeout:
                self.control.stop(run)
                few = f"Fewer than {self.min_clients} collaborators were connected for {self.quorum_timeout} s ({self.connected} now)"
                raise RunError("QuorumLost", few)
            time.sleep(WATCH)

    def _judge(self, state: RunState) -> str:
        raise_if_stopped()
        events = {record["event"] for record in records()}
        if state.outcome != "completed":
            raise RunError("ServerAppFailed", state.details or f"Flower says that the run {state.outcome}")
        model = read_json(run_dir() / "model.json")
        if model is not None:
            return wait_until_stored(run_dir(), model)
        if "started" in events:
            raise RunError("ModelMissing", "The server app ended without an error, but its strategy returned no arrays")
        append({"event": "unobservable"})
        return "The app does not use Flower's Strategy.start: its rounds cannot be seen, and no model is stored for it"


def raise_if_stopped() -> None:
    """The SuperLink, or the hook in the server app, has ended the run with a reason."""
    for record in records():
        if record["event"] == "stopped":
            raise RunError(record["reason"], record["message"])


def wait_until_stored(folder: Path, model: Record, patience: float = STORING) -> str:
    """Until the reporter says where; `storing` is touched by it as long as it gets on."""
    since = time.monotonic()
    touched = 0.0
    while time.monotonic() - since < patience:
        stored = read_json(folder / "stored.json")
        if stored is not None and stored.get("error"):
            raise RunError("ModelNotStored", str(stored["error"]))
        if stored is not None and stored.get("round") == model.get("round"):
            return f"Model of round {stored['round']} stored as {stored['uri']}"
        mark = folder / "storing"
        if mark.exists() and mark.stat().st_mtime != touched:
            touched, since = mark.stat().st_mtime, time.monotonic()
        time.sleep(POLL)
    raise RunError("ModelNotStored", f"The reporter did not store the model within {patience:.0f} s; its log tells more")
