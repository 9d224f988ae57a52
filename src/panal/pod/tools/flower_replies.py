"""Messages out, replies in: what the hub's hook learns from them about each cluster, and nothing that the app would notice."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .files import run_dir
from .flower_client_hook import RECORD
from .flower_errors import USER_CODES, arrived

MAX_METRICS = 16


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


class Exchange:
    """Sends messages and waits for replies like Flower's grid does, but looks for replies sooner than every three seconds."""

    def __init__(self, grid: Any) -> None:
        self.push, self.pull = grid.push_messages, grid.pull_messages
        self.clusters = Clusters()

    def __call__(self, messages: Iterable[Any], timeout: float | None) -> tuple[list[Any], Phase]:
        began = time.monotonic()
        sent = list(messages)
        ids = self.push(sent) if sent else []
        nodes = {i: m.metadata.dst_node_id for i, m in zip(ids, sent) if i is not None}
        del messages
        phase = Phase(sent=len(sent), failures=len(sent) - len(nodes))
        del sent
        replies: list[Any] = []
        while nodes:
            for reply in self.pull(set(nodes)):
                node = nodes.pop(reply.metadata.reply_to_message_id, None)
                replies.append(reply)
                self._learn(reply, node, phase)
            waited = time.monotonic() - began
            if timeout is not None and waited >= timeout:
                break
            if nodes:
                time.sleep(min(3.0, max(0.2, waited / 20)))
        for node in nodes.values():
            self._failed(phase, self.clusters.of(node), "NoReply")
        phase.seconds = time.monotonic() - began
        return replies, phase

    def _learn(self, reply: Any, node: int | None, phase: Phase) -> None:
        """The cluster is that of the node that was asked, whatever the reply says: the SuperLink takes no other node's reply to it."""
        cluster = self.clusters.of(node)
        if reply.has_error():
            reason, text = arrived(reply.error.code, reply.error.reason)
            phase.user_failures += reply.error.code in USER_CODES
            self._failed(phase, cluster, reason, text)
            return
        phase.replies += 1
        seconds = take_record(reply.content)
        if cluster:
            metrics = merged(reply.content.metric_records.values())
            phase.collaborators[cluster] = {"metrics": metrics} | ({"seconds": seconds} if seconds is not None else {})

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


def numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """The single finite numbers among a MetricRecord's values."""
    found = {k: v for k, v in (metrics or {}).items() if isinstance(v, (int, float)) and math.isfinite(v)}
    return dict(list(found.items())[:MAX_METRICS])


def merged(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    return numbers({k: v for record in records for k, v in record.items()})
