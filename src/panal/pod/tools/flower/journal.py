"""Writes the records of a run's rounds, and derives the rounds of an app with its own main loop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ..codes import END, QUERY, TRAIN, Code
from ..files import append
from ..records import NoModel, Notice, Number, Round, Started, Stopped, Waiting
from .codes import EVALUATE, SERVER
from .replies import Phase, merged

History = dict[str, dict[int, dict[str, Number]]]
KINDS = (TRAIN, EVALUATE, QUERY)


@dataclass
class Journal:
    """`rounds` and `models` count those of earlier calls of `start`, because an app may train in several stages."""

    rounds: int = 0
    models: int = 0
    history: History = field(default_factory=lambda: {kind: {} for kind in (*KINDS, SERVER)})

    def metrics(self, number: int) -> dict[str, Number]:
        """All metrics of a round."""
        return merged(self.history[kind].get(number, {}) for kind in (TRAIN, EVALUATE, SERVER))

    def started(self, total: int) -> None:
        """`total` is 0 if unknown."""
        append(Started(rounds=total))

    def phase(self, number: int, kind: str, phase: Phase, seconds: float, metrics: dict[str, Number]) -> None:
        """`kind` is one of KINDS, or SERVER for the server app's own evaluation."""
        self.history[kind].setdefault(number, {}).update(metrics)
        record = Round(round=number, phase=kind, seconds=round(seconds, 3), metrics=metrics)
        append(record if kind == SERVER else replace(record, **phase.record_fields()))

    def end(self, number: int, seconds: float) -> None:
        append(Round(round=number, phase=END, seconds=round(seconds, 3)))

    def notice(self, kind: Code, message: str) -> None:
        """Reports a problem that does not end the run. Replaces an earlier notice of the same kind."""
        append(Notice(kind=kind, message=message))

    def no_model(self, message: str) -> None:
        """The app has trained, and its strategy returned no arrays."""
        append(NoModel(message=message))

    def waiting(self, message: str) -> None:
        """Reports what the app waits for; valid until the next round."""
        append(Waiting(message=message))

    def stopped(self, reason: Code, message: str) -> None:
        """Makes the launcher end the run with this reason, even if the app succeeds."""
        append(Stopped(reason=reason, message=message))


@dataclass
class Rounds:
    """Derives the rounds of an app's own main loop from its messages. Each message group is a round, as in Flower's strategies. Without
    groups, a round begins when a phase occurs again, or when a training or query follows an evaluation."""

    number: int = 0
    group: str = ""
    kinds: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    def starts_new(self, kind: str, groups: set[str]) -> bool:
        group = next(iter(groups)) if len(groups) == 1 else ""
        if self.number and group:
            return group != self.group
        return not self.number or kind in self.kinds or (kind != EVALUATE and EVALUATE in self.kinds)

    def begin(self, groups: set[str]) -> None:
        self.number, self.kinds, self.began = self.number + 1, set(), time.monotonic()
        self.group = next(iter(groups)) if len(groups) == 1 else ""
