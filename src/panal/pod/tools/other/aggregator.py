"""The main container of the aggregator: runs spec.server.command, hands its model over, and ends with the result of the run."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .. import checkpoint, working_directory
from ..child import Child, described
from ..codes import FAILURES, MAX_METRICS, Doubt, Ending
from ..ending import conclude, main_program
from ..files import MODELS, PROGRESS, Json, RunError, append, log_line, loopback, number, run_dir
from ..model import adopt_model, infinite_in
from ..overdue import Watch
from ..records import InvalidRecordError, ModelReady, Notice, Record, Round, Stopped, parse
from ..tail import Tail
from .checkpoints import Checkpoints
from .codes import PORT
from .command import start

POLL = 0.2  # seconds
LOGGED = 10  # lines of PANAL_PROGRESS that are ignored and logged


def main() -> int:
    return main_program(lambda: Server().run(sys.argv[1:]), "program that runs spec.server.command")


class Server:
    def __init__(self) -> None:
        self._tail = Tail(run_dir() / PROGRESS)
        self._stopped: RunError | None = None  # by a record with a reason of the server's own
        self._ignored = 0  # lines that are no records
        self._watch = Watch.of_environment()

    def run(self, words: list[str]) -> str:
        """The message of a completed run. Raises RunError."""
        self._checkpoints = Checkpoints(Path(os.environ["PANAL_CHECKPOINTS"]), checkpoint.last())
        address = f"{loopback()}:{number('PANAL_SERVER_PORT', PORT)}"
        child = start(words, "spec.server.command", address, self._checkpoints.environment)
        try:
            end = self._until_end(child)
        finally:
            child.end(group=True)
        self._update()
        end = end or self._stopped
        if end is None or end.reason != Ending.AGGREGATOR_LOST:
            try:
                self._hand_over()
            except RunError as unfit:
                end = end or unfit
            working_directory.hand_over()
        return conclude(end)

    def _until_end(self, child: Child) -> RunError | None:
        """Why the run has failed, if it has."""
        while (code := child.poll()) is None:
            self._update()
            if trouble := self._watch.trouble(time.monotonic()):
                return trouble
            time.sleep(POLL)
        killed = code == -signal.SIGKILL  # for example by the kernel, because memory was short
        reason = Ending.AGGREGATOR_LOST if killed else Ending.SERVER_APP_FAILED
        return RunError(reason, f"The server ended with {described(code)}") if code else None

    def _update(self) -> None:
        records = list(self._read())
        for record in records:
            if isinstance(record, Round) and record.metrics:
                metrics = dict(list(record.metrics.items())[:MAX_METRICS])
                self._checkpoints.history.setdefault(record.phase, {}).setdefault(record.round, {}).update(metrics)
            if isinstance(record, Stopped) and record.reason not in FAILURES and self._stopped is None:
                self._stopped = RunError(Ending.SERVER_APP_FAILED, f"The server stopped the run: {record.reason}: {record.message}")
        self._watch.update(records, time.monotonic())
        self._checkpoints.update(records)

    def _read(self) -> Iterator[Record]:
        for line in self._tail.poll():
            why = "it is not JSON, or its event is unknown"
            try:
                record = parse(line)
            except InvalidRecordError as error:
                record, why = None, str(error)
            if record is not None:
                yield record
            elif self._ignored < LOGGED:
                self._ignored += 1
                log_line(f"a line of PANAL_PROGRESS is ignored: {why}: {line[:100].decode(errors='replace')}")

    def _hand_over(self) -> None:
        """Hands the model over to the reporter, if the server has written one. Raises RunError if it is not an npz file."""
        model = Path(os.environ["PANAL_MODEL"])
        if not model.exists():
            return
        if not model.is_file():
            raise RunError(Ending.ARRAYS_NOT_STORABLE, f"The model {model} is not a file")
        last = self._checkpoints.complete
        adopt_model(model, run_dir() / MODELS / "1", self._description(last))
        if infinite := infinite_in(model):
            append(Notice(kind=Doubt.MODEL_SUSPECT, message=f"{infinite} with NaN or infinity"))
        append(ModelReady(start=1, round=last))

    def _description(self, last: int) -> Json:
        metrics = {name: value for rounds in self._checkpoints.history.values() for name, value in rounds.get(last, {}).items()}
        return {"start": 1, "round": last, "metrics": metrics, "history": self._checkpoints.history}
