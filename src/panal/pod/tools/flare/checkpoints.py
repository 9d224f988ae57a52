"""The checkpoints of a job that can go on (`resumable`): the global model, the metrics that FLARE's workflows send with it, and the rounds
so far. The job of the next server begins with the next round by FLARE's own argument start_round; its model is replaced when the workflow
has loaded its initial one. What is sent to the clients is as without the loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import checkpoint
from ..codes import Doubt
from ..files import append, log_line, number, shown
from ..records import Notice
from .journal import Journal
from .state import NotExactError, decoded, encoded

WEIGHTS, META = "weights", "meta"  # the parts of FLARE's models
INITIAL_METRICS = "initial_metrics"  # in META of what is sent to clients


class StateLostError(Exception):
    """The run cannot go on from its checkpoint."""


class Checkpoints:
    """`first` is FLARE's number of the run's first round; None if the job cannot go on. `done` rounds are complete at the beginning.
    `digest` identifies the image's job."""

    def __init__(self, first: int | None, done: int, digest: str = "") -> None:
        self.first, self._digest = first, digest
        self._exact = first is not None
        self._done = self._written = done
        self._restored = done == 0

    def loaded(self, model: Any, journal: Journal) -> None:
        """The workflow has loaded its initial model, which is changed in place if the run goes on. Raises StateLostError."""
        if self._restored:
            self._encode(model, None, [])
            return
        saved = checkpoint.last()
        if saved is None or saved.round != self._done:
            raise StateLostError(f"there is no checkpoint of round {self._done}")
        try:
            self._restore(model, saved.state, saved.arrays(), journal)
        except Exception as error:  # it was written by the app's image
            raise StateLostError(shown(f"{type(error).__name__}: {error}", 300)) from error
        self._restored = True
        checkpoint.resumed(saved)

    def _restore(self, model: Any, state: Mapping[str, Any], arrays: Mapping[str, Any], journal: Journal) -> None:
        found = decoded(state["model"], arrays)
        model[WEIGHTS].clear()
        model[WEIGHTS].update(found[WEIGHTS])
        model[META] = {} if model.get(META) is None else model[META]
        model[META].clear()
        model[META].update({} if found["metrics"] is None else {INITIAL_METRICS: found["metrics"]}, **found[META])
        journal.go_on(self._done, int(state["completed"]), state["history"])

    def begins(self) -> None:
        """A round begins. Raises StateLostError."""
        if not self._restored:
            raise StateLostError("the workflow has not loaded its model")

    def sent(self, task: Any) -> None:
        """Sets the numbers in a task that depend on where this job has begun."""
        if self._done:
            task.set_header("num_rounds", number("PANAL_ROUNDS", 1))
            if task.get_header("start_round") is not None:
                task.set_header("start_round", self.first)

    def write(self, round_: int, model: Any, metrics: Any, journal: Journal) -> None:
        """Writes the checkpoint of `round_`, which is complete, once. `metrics` are those of FLARE's last aggregation."""
        arrays: list[tuple[str, Any]] = []
        if round_ <= self._written or (tree := self._encode(model, metrics, arrays)) is None:
            return
        self._written = round_
        state = {"job": self._digest, "model": tree, "completed": journal.completed, "history": journal.history}
        try:
            checkpoint.write(round_, arrays, state)
        except (OSError, ValueError) as error:
            append(Notice(kind=Doubt.CHECKPOINT_FAILED, message=f"The checkpoint of round {round_} could not be written: {error}"))

    def _encode(self, model: Any, metrics: Any, arrays: list[tuple[str, Any]]) -> Any:
        """None if the model cannot be restored exactly, which is reported once."""
        if not self._exact:
            return None
        try:
            if not isinstance(model, Mapping) or not isinstance(model.get(WEIGHTS), Mapping):
                raise NotExactError(f"the model is of the type {type(model).__name__}")
            parts: dict[str, Any] = {WEIGHTS: dict(model[WEIGHTS]), META: dict(model.get(META) or {}), "metrics": metrics}
            return encoded(parts, arrays)
        except NotExactError as error:
            self._exact = False
            append(not_resumable(str(error)))
            return None


def rounds_done(digest: str) -> int:
    """The rounds after which the job with this digest goes on; 0 if it begins with the first."""
    saved = checkpoint.last()
    if saved is None:
        return 0
    if saved.state.get("job") != digest:
        log_line(f"the checkpoint of round {saved.round} is of another job: beginning with the first round")
        return 0
    return saved.round


def not_resumable(why: str) -> Notice:
    return Notice(kind=Doubt.NOT_RESUMABLE, message=why)
