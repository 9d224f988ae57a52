"""What is known of a run at a moment. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from panal.api import figures
from panal.api.parse import ParseError, parse_status
from panal.api.status import ENDED, Phase
from panal.api.types import Status
from panal.client.problem import Code, Problem
from panal.kube.objects import Object

OF_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Progress:
    """A run at a moment.

    `status` is what the controller wrote last. `unavailable` is why the hub's API server does not answer now, and `silent_since` since when
    the controller has not been running, where that is known: then `status` may be out of date. Empty and None otherwise.
    """

    namespace: str
    name: str
    status: Status
    unavailable: str = ""
    silent_since: datetime | None = None

    @property
    def phase(self) -> Phase:
        """Waiting, Running, Completed or Failed."""
        return self.status.phase

    @property
    def message(self) -> str:
        """What the run does or waits for, and what to do about a problem."""
        return self.status.message

    @property
    def round(self) -> int:
        """The number of completed rounds."""
        return self.status.rounds.completed

    @property
    def rounds(self) -> int:
        """The number of rounds of the run; 0 until it is known."""
        return self.status.rounds.total

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the last completed round, as aggregated by the app; NaN and infinities included."""
        return {**self.status.metrics, **{name: OF_NAMES.get(value, math.nan) for name, value in self.status.non_finite_metrics.items()}}

    @property
    def ended(self) -> bool:
        """Whether it is Completed or Failed."""
        return self.phase in ENDED

    @property
    def current(self) -> bool:
        """False if `status` may be out of date."""
        return self.ended or not (self.unavailable or self.silent_since)

    def __str__(self) -> str:
        metrics = ", ".join(f"{name} {figures.number(value)}" for name, value in self.metrics.items())
        old = "" if self.current else " (may be out of date)"
        return f"{self.name}: {self.phase}, round {self.round}/{self.rounds}{f', {metrics}' if metrics else ''}{old}"

    def _repr_html_(self) -> str:
        from panal.sdk.picture import page

        return page(self, ())


class RunFailed(Problem):
    """A run ended as Failed. `reason` is the code of its condition, `progress` its last state; the message ends with the remedy."""

    def __init__(self, progress: Progress) -> None:
        failed = next((each for each in progress.status.conditions if each.type == "Failed" and each.status == "True"), None)
        self.reason = failed.reason if failed else ""
        self.progress = progress
        has_model = progress.status.model is not None
        what = f"{progress.name} failed{f' with the reason {self.reason}' if self.reason else ''}: {progress.message}"
        kept = f" Its model of round {progress.status.model.round} is stored: model() downloads it." if progress.status.model else ""
        super().__init__(
            Code.FAILED_WITH_MODEL if has_model else Code.RUN_FAILED, what, f"`panal logs {progress.name}` shows the app's output.{kept}"
        )


def progress_of(run: Object, unavailable: str = "", silent_since: datetime | None = None) -> Progress:
    """Raises Problem for a status that this version of panal cannot read."""
    metadata = run["metadata"]
    try:
        status = parse_status(run)
    except ParseError as error:
        raise Problem(Code.REFUSED, str(error), "Install the version of panal that is on the hub.") from error
    return Progress(metadata["namespace"], metadata["name"], status, unavailable, None if status.phase in ENDED else silent_since)
