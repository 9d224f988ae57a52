"""Messages out, replies in: what the hub's hook learns from them about each cluster, and nothing that the app would notice."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .files import run_dir, say
from .flower_client_hook import RECORD
from .flower_errors import USER_CODES, arrived, printable
from .flower_judge import Description, Judge, describe

MAX_METRICS, LONGEST_NAME = 16, 200


@dataclass
class Phase:
    """What came back in one phase of a round, by cluster: `messages` are the texts of those failures that a site shares."""

    sent: int = 0
    replies: int = 0
    failures: int = 0
    user_failures: int = 0
    seconds: float = 0.0
    collaborators: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)


class Clusters:
    """Which cluster a node is: the SuperLink writes it down as nodes join, by the certificate that their gateway came with."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._read = 0  # bytes of the file

    def of(self, node: int | None) -> str:
        """Empty if nobody knows."""
        if node is not None and node not in self._known:
            self._look()
        return self._known.get(node, "") if node is not None else ""

    def _look(self) -> None:
        try:
            with (run_dir() / "nodes.jsonl").open("rb") as file:
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._read += len(whole + newline)
        for line in whole.splitlines():
            record = json.loads(line)
            self._known[record["node"]] = record["cluster"]


@dataclass
class Asked:
    """One message that was sent: to which node, and what it held."""

    node: int
    sent: Description


class Exchange:
    """Sends messages and waits for replies like Flower's grid does, but looks for replies sooner than every three seconds, and keeps back
    those that `judge` refuses."""

    def __init__(self, grid: Any, judge: Judge) -> None:
        self.push, self.pull = grid.push_messages, grid.pull_messages
        self.clusters = Clusters()
        self.judge = judge
        self.got: dict[str, Description] = {}  # the replies of the last phase that were let through, by the message they reply to

    def __call__(self, messages: Iterable[Any], timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        began = time.monotonic()
        sent = list(messages)
        contents: dict[int, Description] = {}  # one record is usually sent to all
        described = [contents.setdefault(id(m.content), describe(m.content)) if m.has_content() else Description({}, {}, {}) for m in sent]
        ids = self.push(sent) if sent else []
        asked = {i: Asked(m.metadata.dst_node_id, d) for i, m, d in zip(ids, sent, described) if i}
        phase = Phase(sent=len(sent), failures=len(sent) - len(asked))
        del messages, sent, described
        found = self._collect(asked, timeout, began, phase)
        replies = self._judged(found, asked, kind, phase)
        phase.seconds = time.monotonic() - began
        return replies, phase

    def _collect(self, asked: Mapping[str, Asked], timeout: float | None, began: float, phase: Phase) -> dict[str, Any]:
        """The replies that came, by the message that they reply to; whoever sent none has failed."""
        found: dict[str, Any] = {}
        while len(found) < len(asked):
            found |= {r.metadata.reply_to_message_id: r for r in self.pull({i for i in asked if i not in found})}
            waited = time.monotonic() - began
            if timeout is not None and waited >= timeout:
                break
            if len(found) < len(asked):
                time.sleep(min(3.0, max(0.2, waited / 20)))
        for key, each in asked.items():
            if key not in found:
                self._failed(phase, self.clusters.of(each.node), "NoReply")
        return found

    def _judged(self, found: dict[str, Any], asked: Mapping[str, Asked], kind: str, phase: Phase) -> list[Any]:
        """The cluster is that of the node that was asked, whatever a reply says: the SuperLink takes no other node's reply to it."""
        rules = self.judge.rules
        seconds = {key: take_record(reply.content) for key, reply in found.items() if reply.has_content()}
        got = {key: describe(found[key].content, rules) for key in seconds}
        refused = self.judge.refused(kind, {key: each.sent for key, each in asked.items()}, got)
        self.got = {key: each for key, each in got.items() if key not in refused}
        in_order({key: found[key].content for key in self.got}, self.got)
        for key, reply in found.items():
            cluster = self.clusters.of(asked[key].node)
            if reply.has_error():
                reason, text = arrived(reply.error.code, reply.error.reason)
                phase.user_failures += reply.error.code in USER_CODES
                self._failed(phase, cluster, reason, text)
            elif key in refused:
                self._refused(phase, cluster, refused[key])
            else:
                self._counted(phase, cluster, reply, seconds[key])
        return [reply for key, reply in found.items() if key not in refused]

    def without_odd_ones(self, kind: str, replies: Iterable[Any], phase: Phase) -> list[Any] | None:
        """After the strategy has raised: the replies that are alike; None if they all are."""
        odd = self.judge.odd_ones(kind, self.got) if self.judge.rules.consistent else {}
        if not odd:
            return None
        kept = [reply for reply in replies if reply.metadata.reply_to_message_id not in odd]
        for reply in replies:
            if (told := odd.get(reply.metadata.reply_to_message_id)) is not None:
                phase.replies -= 1
                cluster = self.clusters.of(reply.metadata.src_node_id)
                phase.collaborators.pop(cluster, None)
                self._refused(phase, cluster, told)
        self.got = {key: each for key, each in self.got.items() if key not in odd}
        return kept

    def leave_out(self, reply: Any, error: Exception, phase: Phase) -> None:
        """The strategy raises with this reply, and does not without it."""
        phase.replies -= 1
        cluster = self.clusters.of(reply.metadata.src_node_id)
        phase.collaborators.pop(cluster, None)
        self._refused(phase, cluster, ("ReplyInvalid", f"the strategy raises {type(error).__name__} with it, and not without it"))
        self.got.pop(reply.metadata.reply_to_message_id, None)

    def took(self, kind: str) -> None:
        self.judge.took(kind, self.got.values())

    def _counted(self, phase: Phase, cluster: str, reply: Any, seconds: float | None) -> None:
        phase.replies += 1
        if cluster:
            metrics = merged(reply.content.metric_records.values())
            phase.collaborators[cluster] = {"metrics": metrics} | ({"seconds": seconds} if seconds is not None else {})

    def _refused(self, phase: Phase, cluster: str, told: tuple[str, str]) -> None:
        say(f"reply of {cluster or 'a node'} is not taken: reason={told[0]}: {printable(told[1])}")
        self._failed(phase, cluster, told[0], printable(told[1]))

    def _failed(self, phase: Phase, cluster: str, reason: str, text: str = "") -> None:
        phase.failures += 1
        if cluster:
            phase.failed[cluster] = reason
            if text:
                phase.messages[cluster] = text


def take_record(content: Any) -> float | None:
    """Takes our record out of a reply: the seconds that it tells, if it does."""
    record = content.config_records.get(RECORD)
    if record is None:
        return None
    del content[RECORD]
    seconds = record.get("seconds")
    return seconds if isinstance(seconds, float) and math.isfinite(seconds) else None


def in_order(contents: Mapping[str, Any], got: Mapping[str, Description]) -> None:
    """Arrays of the same names come in the order that most replies have. A strategy takes the order of the first one over into the model,
    and apps go by it: the site that answers first must not be able to exchange one layer for another."""
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


def numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """The single finite numbers among a MetricRecord's values."""
    found = {k: v for k, v in (metrics or {}).items() if isinstance(v, (int, float)) and math.isfinite(v)}
    return {k[:LONGEST_NAME]: v for k, v in list(found.items())[:MAX_METRICS]}


def merged(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    return numbers({k: v for record in records for k, v in record.items()})
