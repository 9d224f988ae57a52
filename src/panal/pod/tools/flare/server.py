"""The container of the aggregator: starts FLARE's server with the image's job, and ends with the run's result."""

from __future__ import annotations

import time

from .. import working_directory
from ..child import Child, described
from ..codes import Ending
from ..ending import conclude, main_program, stopped
from ..files import PROGRESS, Json, RunError, append, loopback, number, read_json, read_records, records_in, run_dir
from ..overdue import Watch
from ..tail import Tail
from . import flare, job, kit
from .checkpoints import not_resumable, rounds_done
from .codes import ENDINGS, FINISHED, KILLED, PORT, STATE, FlareEnding
from .hooks import UNGUARDED

POLL = 0.2  # seconds
FAREWELL = 15.0  # seconds that clients get to leave a job that has ended. FLARE itself waits 15 minutes for a client that is gone


def main() -> int:
    return main_program(lambda: Server().run(), "FLARE server")


class Server:
    def __init__(self) -> None:
        self._tail = Tail(run_dir() / PROGRESS)
        self._watch = Watch.of_environment()

    def run(self) -> str:
        """The message of a completed run. Raises RunError."""
        flare.refuse_unknown()
        child = self._start()
        try:
            end = self._until_end(child)
        finally:
            flare.end(child)
        working_directory.hand_over()
        return conclude(end, ENDINGS)

    def _start(self) -> Child:
        source = job.required().resolve()
        working_directory.enter(lambda: source)
        rounds, min_clients, digest = number("PANAL_ROUNDS", 1), number("PANAL_MIN_CLIENTS", 1), job.fingerprint(source)
        why = job.prepare(source, flare.folder() / job.NAME, rounds, min_clients, digest=digest, done=rounds_done(digest))
        if why:
            append(not_resumable(why))
        arguments = kit.write_server(flare.folder(), loopback(), number("PANAL_FLARE_PORT", PORT))
        return flare.start("nvflare.private.fed.app.server.server_train", arguments, "server")

    def _until_end(self, child: Child) -> RunError | None:
        """Why the run has failed, if it has."""
        while child.poll() is None:
            self._watch.update(records_in(self._tail.poll()), time.monotonic())  # the reporter logs other lines
            finished = _seconds_since_the_jobs_end()
            if (state := read_json(flare.folder() / STATE)) is not None:
                return None if state["completed"] or finished is not None else _failure(state)
            if finished is not None and finished > FAREWELL:
                return None
            if trouble := self._watch.trouble(time.monotonic()):
                return trouble
            time.sleep(POLL)
        if child.code == UNGUARDED:
            return RunError(FlareEnding.FLARE_NOT_SUPPORTED, "FLARE's server cannot be guarded")  # its record says more
        reason = Ending.AGGREGATOR_LOST if (child.code or 0) < 0 else Ending.SERVER_APP_FAILED
        return RunError(reason, f"FLARE's server ended with {described(child.code or 0)}")


def _seconds_since_the_jobs_end() -> float | None:
    """None before the job's server has ended without a failure."""
    try:
        return time.time() - (flare.folder() / FINISHED).stat().st_mtime
    except FileNotFoundError:
        return None


def _failure(state: Json) -> RunError:
    if found := stopped(read_records(), ENDINGS):
        return found
    if killed := read_json(flare.folder() / KILLED):
        return RunError(Ending.AGGREGATOR_LOST, f"The job's process ended with {described(int(killed['code']))}")
    return RunError(Ending.SERVER_APP_FAILED, f"FLARE ended the job with the status {state['status']}")
