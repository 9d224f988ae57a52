"""Messages out, replies in: what the hub's hook learns from them about each cluster, and nothing that the app would notice."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .flower_client_hook import RECORD

MAX_METRICS = 16
_REASON = re.compile(r"^cluster=([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?) exception=(\w{1,64})$")
_CLUSTER = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")

# Flower's error codes (flwr.common.constant.ErrorCode) as reason codes; those of user code carry the exception's class instead.
_CODES = {
    0: "Unknown",
    1: "LoadClientAppError",
    2: "ClientAppError",
    3: "MessageUnavailable",
    4: "ReplyUnavailable",
    5: "NodeUnavailable",
    6: "ModFailedPrecondition",
    7: "InvalidApp",
    8: "ClientAppCrashed",
}
_USER_CODE = {1, 2, 6, 7, 8}


@dataclass
class Phase:
    """What came back in one phase of a round: `collaborators` and `failed` by cluster, as far as clusters are known."""

    sent: int = 0
    replies: int = 0
    failures: int = 0
    user_failures: int = 0
    seconds: float = 0.0
    collaborators: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Exchange:
    """Sends messages and waits for replies like Flower's grid does, but looks for replies sooner than every three seconds."""

    def __init__(self, grid: Any) -> None:
        self.push, self.pull = grid.push_messages, grid.pull_messages
        self.clusters: dict[int, str] = {}  # by node id, learnt from replies

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
            self._failed(phase, self.clusters.get(node, ""), "NoReply")
        phase.seconds = time.monotonic() - began
        return replies, phase

    def _learn(self, reply: Any, node: int | None, phase: Phase) -> None:
        known = self.clusters.get(node, "") if node is not None else ""
        if reply.has_error():
            cluster, reason = error_of(reply.error)
            phase.user_failures += reply.error.code in _USER_CODE
            self._failed(phase, cluster or known, reason)
            return
        phase.replies += 1
        cluster, seconds = take_record(reply.content)
        if cluster:
            if node is not None:
                self.clusters[node] = cluster
            metrics = merged(reply.content.metric_records.values())
            phase.collaborators[cluster] = {"metrics": metrics} | ({"seconds": seconds} if seconds is not None else {})

    def _failed(self, phase: Phase, cluster: str, reason: str) -> None:
        phase.failures += 1
        if cluster:
            phase.failed[cluster] = reason


def take_record(content: Any) -> tuple[str, float | None]:
    """Takes our record out of a reply: the cluster's name, empty if it has none that is valid, and its seconds."""
    record = content.config_records.get(RECORD)
    if record is None:
        return "", None
    del content[RECORD]
    cluster, seconds = record.get("cluster"), record.get("seconds")
    if not isinstance(cluster, str) or not _CLUSTER.match(cluster):
        return "", None
    return cluster, seconds if isinstance(seconds, float) and math.isfinite(seconds) else None


def error_of(error: Any) -> tuple[str, str]:
    """Cluster (empty if unknown) and reason code of an error reply; free text is not taken over."""
    found = _REASON.match(error.reason or "")
    return (found[1], found[3]) if found else ("", _CODES.get(error.code, "Unknown"))


def numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """The single finite numbers among a MetricRecord's values."""
    found = {k: v for k, v in (metrics or {}).items() if isinstance(v, (int, float)) and math.isfinite(v)}
    return dict(list(found.items())[:MAX_METRICS])


def merged(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    return numbers({k: v for record in records for k, v in record.items()})
