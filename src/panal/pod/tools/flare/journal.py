"""The records of the rounds, from the events of FLARE's server in a job. Pure, apart from the clock that its user passes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..codes import END, MAX_METRIC_NAME, MAX_METRICS, PHASE, QUERY, TRAIN, Refused, Unanswered
from ..records import Number, Record, Reply, Round, as_number

ACCEPTED = "OK"  # FLARE's return code


@dataclass
class Task:
    """The clusters that have got a task of this name in the current round, and what they have replied."""

    began: dict[str, float] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class Journal:
    """`round` counts from 1; 0 before the first round. A workflow without rounds has one. The first result of a task counts, if it is
    from the cluster that has got the task, and in the same round."""

    round: int = 0
    began: float = 0.0
    metrics: dict[str, Number] = field(default_factory=dict)  # of the aggregation
    tasks: dict[str, Task] = field(default_factory=dict)  # by phase
    open: dict[str, tuple[str, str]] = field(default_factory=dict)  # by FLARE's id of a task without a result: its cluster and phase
    history: dict[str, dict[int, dict[str, Number]]] = field(default_factory=dict)
    trained: int = 0  # the last round with a reply that counts
    completed: int = 0  # the last of these rounds that is complete

    def go_on(self, done: int, completed: int, history: Mapping[str, Mapping[str, dict[str, Number]]]) -> None:
        """Continues after round `done`, with what was stored then: `completed`, and `history`, in which JSON has made numbers to texts."""
        self.round, self.trained, self.completed = done, completed, completed
        self.history = {phase: {int(number): metrics for number, metrics in rounds.items()} for phase, rounds in history.items()}

    def begin(self, number: int, now: float) -> list[Record]:
        """Starts round `number`. Returns the records of the one before."""
        records = self.end(now)
        self.round, self.began, self.tasks, self.metrics = number, now, {}, {}
        return records

    def assigned(self, task_id: str, task: str, cluster: str, now: float) -> None:
        self.round, name = max(self.round, 1), phase(task)
        self.open[task_id] = (cluster, name)
        self.tasks.setdefault(name, Task()).began.setdefault(cluster, now)

    def replied(self, task_id: str, cluster: str, code: str, accepted: bool, metrics: dict[str, Number], now: float) -> None:
        """`code` is FLARE's return code. `accepted`: the workflow has used the reply."""
        found_cluster, name = self.open.get(task_id, ("", ""))
        if not name or found_cluster != cluster:
            return
        del self.open[task_id]
        found = self.tasks[name]
        if code != ACCEPTED or not accepted:
            found.failed[cluster] = camel(code) if code != ACCEPTED else Refused.REPLY_INVALID.value
            found.replies.pop(cluster, None)
            return
        found.failed.pop(cluster, None)
        found.replies[cluster] = {"seconds": round(now - found.began.get(cluster, self.began), 3), "metrics": metrics}
        self.trained = max(self.trained, self.round)

    def end(self, now: float, *, complete: bool = True) -> list[Record]:
        """The records of the current round, once. `complete`: the round has not failed."""
        records: list[Record] = [self._record(phase, task) for phase, task in self.tasks.items()]
        if records and complete:
            records.append(Round(round=self.round, phase=END, seconds=round(now - self.began, 3)))
            self.completed = self.trained
        self.tasks, self.open = {}, {}
        return records

    def _record(self, name: str, task: Task) -> Record:
        silent = {each: Unanswered.NO_REPLY.value for each in task.began if each not in task.replies and each not in task.failed}
        failed = {**silent, **task.failed}
        metrics = self.metrics if name == TRAIN else {}
        self.history.setdefault(name, {})[self.round] = metrics
        return Round(
            round=self.round,
            phase=name,
            replies=len(task.replies),
            failures=len(failed),
            collaborators=task.replies,
            failed=failed,
            metrics=metrics,
        )


def phase(task: str) -> str:
    """The phase of a round for a task of FLARE: `train`, or the task's own name."""
    name = task.lower().replace("_", "-")
    return name if re.fullmatch(PHASE, name) and name != END else QUERY


def camel(code: str) -> str:
    """FLARE's return code, such as EXECUTION_EXCEPTION, as a code of a record."""
    return "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", code))[:64] or Refused.REPLY_INVALID.value


def numbers(found: Any) -> dict[str, Number]:
    """The metrics that are numbers."""
    if not isinstance(found, Mapping):
        return {}
    listed = {str(name)[:MAX_METRIC_NAME]: number for name, value in found.items() if (number := _number(value)) is not None}
    return dict(list(listed.items())[:MAX_METRICS])


def _number(value: Any) -> Number | None:
    try:
        return as_number(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
