"""What is written down of a run's rounds, and the rounds themselves where the app has its own main loop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ..codes import END, QUERY, TRAIN, Word
from ..files import append
from ..records import NoModel, Notice, Number, Round, Started, Stopped, Waiting
from .codes import EVALUATE, SERVER
from .replies import Phase, merged

History = dict[str, dict[int, dict[str, Number]]]
KINDS = (TRAIN, EVALUATE, QUERY)


@dataclass
class Journal:
    """`rounds` are those of earlier calls of `start`: an app may train in several stages."""

    rounds: int = 0
    models: int = 0
    history: History = field(default_factory=lambda: {kind: {} for kind in (*KINDS, SERVER)})

    def metrics(self, number: int) -> dict[str, Number]:
        """All that was reported of a round."""
        return merged(self.history[kind].get(number, {}) for kind in (TRAIN, EVALUATE, SERVER))

    def started(self, total: int) -> None:
        """`total` is 0 if it is not known."""
        append(Started(rounds=total))

    def phase(self, number: int, kind: str, phase: Phase, seconds: float, metrics: dict[str, Number]) -> None:
        """`kind` is one of KINDS, or SERVER for what the server app has evaluated itself."""
        self.history[kind].setdefault(number, {}).update(metrics)
        record = Round(round=number, phase=kind, seconds=round(seconds, 3), metrics=metrics)
        append(record if kind == SERVER else replace(record, **phase.told()))

    def end(self, number: int, seconds: float) -> None:
        append(Round(round=number, phase=END, seconds=round(seconds, 3)))

    def notice(self, kind: Word, message: str) -> None:
        """What a person should know although the run goes on; a later one of the same kind takes its place."""
        append(Notice(kind=kind, message=message))

    def no_model(self, message: str) -> None:
        """The app has trained, and its strategy has returned nothing."""
        append(NoModel(message=message))

    def waiting(self, message: str) -> None:
        """Until the next round is written down."""
        append(Waiting(message=message))

    def stopped(self, reason: Word, message: str) -> None:
        """The launcher ends the run with this reason, whatever the app does."""
        append(Stopped(reason=reason, message=message))


@dataclass
class Rounds:
    """Rounds of an app's own loop, from the messages that it sends. A group is a round, as Flower's strategies name them; without groups
    a round begins with each training or query after the one before has been trained or queried, or evaluated twice."""

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
