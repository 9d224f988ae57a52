"""The result of a phase for each cluster, as the hooks in the ServerApp process take it from replies."""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..codes import DIGEST, MAX_METRIC_NAME, MAX_METRICS, Unanswered
from ..files import log_line, run_dir
from ..records import Number, Reply, Secure, as_number
from .client_hook import RECORD
from .environment import NODES
from .errors import USER_CODES, incoming_error, printable
from .judge import Description, Verdict

_STATE = re.compile(f"({DIGEST})?")


@dataclass(frozen=True)
class MessageResult:
    """The result of one message: the reply's metrics and seconds if it counts, else a reason code and text."""

    reason: str = Unanswered.NO_REPLY
    text: str = ""
    reply: Reply | None = None
    by_user_code: bool = False


@dataclass
class Phase:
    """The result of one phase of a round, by cluster. `messages` has the texts of failures that sites share."""

    sent: int = 0
    replies: int = 0
    failures: int = 0
    user_failures: int = 0
    seconds: float = 0.0
    collaborators: dict[str, Reply] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    selected: list[str] = field(default_factory=list)  # by a method of spec.server.aggregation
    threshold: int = 0  # of secure aggregation; 0 without it

    def take(self, cluster: str, result: MessageResult) -> None:
        """Counts one result; `cluster` is empty if unknown."""
        if result.reply is not None:
            self.replies += 1
            self.collaborators |= {cluster: result.reply} if cluster else {}
            return
        self.failures += 1
        self.user_failures += result.by_user_code
        self.failed |= {cluster: result.reason} if cluster else {}
        self.messages |= {cluster: result.text} if cluster and result.text else {}

    def add(self, step: Phase) -> None:
        """Counts what has become of the sites in a step of this phase."""
        self.replies += step.replies
        self.failures += step.failures
        self.user_failures += step.user_failures
        self.collaborators |= step.collaborators
        self.failed |= step.failed
        self.messages |= step.messages

    def take_back(self, cluster: str, result: MessageResult) -> None:
        """Counts as a failure a reply that was counted."""
        self.replies -= 1
        self.collaborators.pop(cluster, None)
        self.take(cluster, result)

    def record_fields(self) -> dict[str, Any]:
        """The fields of the phase's record."""
        counted = {"replies": self.replies, "failures": self.failures, "collaborators": self.collaborators, "failed": self.failed}
        secure = Secure(threshold=self.threshold, dropped=sorted(self.failed)) if self.threshold else None
        more = {"messages": self.messages, "selected": self.selected, "secure": secure}
        return counted | {name: found for name, found in more.items() if found}


class Clusters:
    """The clusters of Flower nodes, from nodes.jsonl, which the SuperLink's guard writes when a node joins."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._newest: dict[str, int] = {}
        self._read = 0  # bytes of the file read so far
        self._lock = threading.Lock()

    def of(self, node: int | None) -> str:
        """The cluster of `node`; empty if unknown."""
        if node is not None and node not in self._known:
            self._update()
        return self._known.get(node, "") if node is not None else ""

    def successor(self, node: int) -> int:
        """The current node of the cluster of `node`, which changes when its SuperNode restarts."""
        self._update()
        return self._newest.get(self._known.get(node, ""), node)

    def _update(self) -> None:
        with self._lock:
            self._read_new()

    def _read_new(self) -> None:
        try:
            with (run_dir() / NODES).open("rb") as file:
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._read += len(whole + newline)
        for line in whole.splitlines():
            record = json.loads(line)
            self._known[record["node"]] = record["cluster"]
            self._newest[record["cluster"]] = record["node"]


def result_of(reply: Any, seconds: float | None) -> MessageResult:
    """The result of a reply that was not refused, from which `take_record` has removed panal's record."""
    if reply.has_error():
        reason, text = incoming_error(reply.error.code, reply.error.reason)
        return MessageResult(reason, text, None, reply.error.code in USER_CODES)
    content: Reply = {"metrics": merged(reply.content.metric_records.values())}
    if seconds is not None:
        content["seconds"] = seconds
    return MessageResult("", "", content)


def log_refusal(cluster: str, verdict: Verdict) -> None:
    log_line(f"reply of {cluster or 'a node'} is refused: reason={verdict[0]}: {printable(verdict[1])}")


@dataclass(frozen=True)
class Report:
    """What panal's `client_hook` adds to a reply: the seconds, and the digests of the client's state before and after (empty: no state).
    None: unknown."""

    seconds: float | None = None
    before: str | None = None
    after: str | None = None


def take_record(content: Any) -> Report:
    """Removes the record that panal's `client_hook` added to a reply. Returns what is valid in it."""
    record = content.config_records.get(RECORD)
    if record is None:
        return Report()
    del content[RECORD]
    seconds, before, after = (record.get(name) for name in ("seconds", "before", "after"))
    return Report(
        seconds if isinstance(seconds, float) and math.isfinite(seconds) else None,
        before if isinstance(before, str) and _STATE.fullmatch(before) else None,
        after if isinstance(after, str) and _STATE.fullmatch(after) else None,
    )


def in_order(contents: Mapping[str, Any], got: Mapping[str, Description]) -> None:
    """Puts the arrays of all replies into the order of the majority. A strategy copies the order of the first reply to the model, and apps
    assign layers by order: the first site to reply must not be able to swap layers."""
    orders: dict[frozenset[Any], Counter[tuple[Any, ...]]] = {}
    for each in got.values():
        orders.setdefault(frozenset(each.arrays), Counter())[tuple(each.arrays)] += 1
    for key, each in got.items():
        counted = orders[frozenset(each.arrays)]
        wanted = max(counted, key=lambda order: (counted[order], order == tuple(sorted(order))))
        if tuple(each.arrays) != wanted:
            _reorder(contents[key], wanted)


def _reorder(content: Any, wanted: tuple[Any, ...]) -> None:
    records = {name: content.array_records[name] for name in content.array_records}
    for name in records:
        del content[name]
    for name in dict.fromkeys([*(record for record, _ in wanted), *records]):
        old = records[name]
        content[name] = type(old)({key: old[key] for record, key in wanted if record == name})


def numbers(metrics: Mapping[str, Any] | None) -> dict[str, Number]:
    """The scalar values of a MetricRecord, at most MAX_METRICS; NaN and infinity as text, because JSON has no such numbers."""
    found = {k: as_number(v) for k, v in (metrics or {}).items() if isinstance(v, (int, float))}
    return {k[:MAX_METRIC_NAME]: v for k, v in list(found.items())[:MAX_METRICS]}


def merged(records: Iterable[Mapping[str, Any]]) -> dict[str, Number]:
    return numbers({k: v for record in records for k, v in record.items()})
