"""What the reporter knows of its run: the progress, and what it needs beside that to store a model, a checkpoint and a trace.

`note` adds a record, and the parts of the reporter add what they find themselves. No input or output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from panal.api.progress import Progress, UpdateCounts
from panal.api.text import shown
from panal.pod.checkpointing import Snapshot
from panal.pod.fold import bounded, fold, resumed
from panal.pod.storing import participated
from panal.pod.tools.codes import MAX_TEXT, TRAIN, Doubt
from panal.pod.tools.records import Bundle, Notice, Record, Round, Started


@dataclass(slots=True)
class State:
    progress: Progress
    clusters: dict[str, list[int]] = field(default_factory=dict)  # the rounds to which each cluster contributed
    trouble: str = ""  # for which the storage is tried again
    announced: float | None = None  # when the app was, in seconds since 1970
    started: float | None = None  # when the training was
    _untold: dict[str, str] = field(default_factory=dict)  # why who follows the run cannot be told of it

    def note(self, record: Record) -> None:
        self.progress = fold(self.progress, record)
        match record:
            case Bundle(time=time) if self.announced is None:
                self.announced = time
            case Started(time=time) if self.started is None:
                self.started = time
            case Round(phase=phase) if phase == TRAIN:
                participated(self.clusters, record)

    def update(self, **fields: Any) -> None:
        """Sets fields of the progress."""
        self.progress = self.progress.model_copy(update=fields)

    def doubt(self, kind: Doubt, message: str) -> None:
        """A condition of the run; the last one of its kind counts."""
        self.progress = fold(self.progress, Notice(kind=kind, message=message))

    def untold(self, whom: str, trouble: str) -> None:
        """A condition of the run, as long as it is so."""
        self._untold = {**self._untold, whom: trouble}
        self.update(notices={kind: text for kind, text in self.progress.notices.items() if kind != Doubt.TRACKING_FAILED})
        if found := "; ".join(text for text in self._untold.values() if text):
            self.doubt(Doubt.TRACKING_FAILED, found)

    def snapshot(self, round_: int, history: bytes) -> Snapshot:
        """For the checkpoint of `round_`."""
        until = {cluster: [each for each in rounds if each <= round_] for cluster, rounds in self.clusters.items()}
        return Snapshot(self.progress, until, history)

    def resume(self, before: Snapshot, round_: int) -> None:
        """The run goes on after `round_`, whose snapshot is `before`."""
        self.progress = resumed(self.progress, before.progress, round_)
        self.clusters = {cluster: list(rounds) for cluster, rounds in before.clusters.items()}

    def follow(self, before: Progress) -> None:
        """`before` is what the ConfigMap had when this reporter began, of an earlier aggregator or of the reporter before this one."""
        if (counts := self.progress.updates) is None:
            return
        earlier = before.updates or UpdateCounts()
        if before.attempt == self.progress.attempt:
            counts = counts.followed(UpdateCounts(own=earlier.earlier, lost=earlier.lost - 1)) if earlier.lost else counts
        elif before.attempt:
            counts = counts.followed(earlier)
        self.update(updates=counts)

    def text(self) -> str:
        """For the ConfigMap."""
        progress = self.progress.model_copy(update={"waiting": shown(self.trouble, MAX_TEXT)}) if self.trouble else self.progress
        return bounded(progress).model_dump_json(by_alias=True)
