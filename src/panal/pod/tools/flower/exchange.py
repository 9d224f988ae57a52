"""Sends the messages of a phase and collects the replies, as Flower's grid does, but withholds replies that the judge refuses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..codes import Refused
from .errors import printable
from .judge import Description, Judge, Verdict, describe
from .replies import Clusters, MessageResult, Phase, in_order, log_refusal, result_of, take_record

RECONNECT = 30.0  # seconds for a failed collaborator to reconnect


@dataclass
class Sent:
    """A message that was sent to `node`, and the description of its content."""

    node: int
    sent: Description
    message: Any


class Exchange:
    """Replaces `send_and_receive` of Flower's `grid`: polls sooner than every three seconds and withholds replies that `judge` refuses."""

    def __init__(self, grid: Any, judge: Judge, clusters: Clusters | None = None) -> None:
        self.push, self.pull, self.nodes = grid.push_messages, grid.pull_messages, grid.get_node_ids
        self.clusters = clusters or Clusters()
        self.judge = judge
        self.got: dict[str, Description] = {}  # the accepted replies of the last phase, by the id of the message that they answer
        self._asked: dict[str, Sent] = {}
        self._replies: dict[str, Any] = {}
        self._seconds: dict[str, float | None] = {}
        self.results: dict[int, MessageResult] = {}  # the results of the last phase, by node
        self._rejected = 0  # messages that the SuperLink did not accept

    def __call__(self, messages: Iterable[Any], timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        self._asked, self._replies, self._seconds, self._rejected = {}, {}, {}, 0
        return self._exchange(list(messages), timeout, kind)

    def resend(self, timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        """Sends the failed messages again, each to the current node of its cluster. If all nodes got the same content, each is also sent to
        a node that had none, because the first may fail again. Earlier replies still count."""
        failed = {key: each for key, each in self._asked.items() if key not in self.got}
        self._wait_for(each.node for each in failed.values())
        messages = [copy_for(each.message, self.clusters.successor(each.node)) for each in failed.values()]
        messages += [copy_for(each.message, node) for each, node in zip(failed.values(), self._spare_nodes())]
        for key in failed:
            del self._asked[key]
            self._replies.pop(key, None)
        self._rejected = 0
        return self._exchange(messages, timeout, kind)

    def _spare_nodes(self) -> list[int]:
        """The nodes that got no message, if they can replace a failed one because all messages have the same content."""
        if len({id(each.message.content) for each in self._asked.values()}) != 1:
            return []
        asked = {self.clusters.successor(each.node) for each in self._asked.values()}
        return [node for node in self.nodes() if node not in asked]

    def clear(self) -> None:
        """Drops the messages and replies, which `resend` no longer needs."""
        self._asked, self._replies, self._seconds = {}, {}, {}

    def _exchange(self, messages: list[Any], timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        began = time.monotonic()
        asked = self._send(messages)
        self._asked |= asked
        self._replies |= self._collect(asked, timeout, began)
        phase = Phase(sent=len(self._asked) + self._rejected, failures=self._rejected)
        replies = self._judge(kind, phase)
        phase.seconds = time.monotonic() - began
        return replies, phase

    def _send(self, messages: list[Any]) -> dict[str, Sent]:
        contents: dict[int, Description] = {}  # all messages usually share one content
        empty = Description({}, {}, {})
        described = [contents.setdefault(id(m.content), describe(m.content)) if m.has_content() else empty for m in messages]
        ids = self.push(messages) if messages else []
        asked = {i: Sent(m.metadata.dst_node_id, d, m) for i, m, d in zip(ids, messages, described) if i}
        self._rejected = len(messages) - len(asked)
        return asked

    def _wait_for(self, nodes: Iterable[int]) -> None:
        """Waits up to RETURNING seconds until the clusters of `nodes` are connected."""
        wanted, end = list(nodes), time.monotonic() + RECONNECT
        while not {self.clusters.successor(node) for node in wanted} <= set(self.nodes()) and time.monotonic() < end:
            time.sleep(0.5)

    def _collect(self, asked: Mapping[str, Sent], timeout: float | None, began: float) -> dict[str, Any]:
        """The replies within the timeout, by the id of the message that they answer."""
        found: dict[str, Any] = {}
        while len(found) < len(asked):
            found |= {r.metadata.reply_to_message_id: r for r in self.pull({i for i in asked if i not in found})}
            waited = time.monotonic() - began
            if timeout is not None and waited >= timeout:
                break
            if len(found) < len(asked):
                time.sleep(min(3.0, max(0.2, waited / 20)))
        self._seconds |= {key: take_record(reply.content) for key, reply in found.items() if reply.has_content()}
        return found

    def _judge(self, kind: str, phase: Phase) -> list[Any]:
        """The accepted replies. The cluster is that of the node to which the message was sent: the guard accepts a reply only from it."""
        asked, found, rules = self._asked, self._replies, self.judge.rules
        got = {key: describe(reply.content, rules) for key, reply in found.items() if reply.has_content()}
        refused = self.judge.refused(kind, {key: each.sent for key, each in asked.items()}, got)
        self.got = {key: each for key, each in got.items() if key not in refused}
        in_order({key: found[key].content for key in self.got}, self.got)
        self.results = {}
        for key, each in asked.items():
            self.results[each.node] = result = self._result(key, found.get(key), refused.get(key))
            phase.take(cluster := self.clusters.of(each.node), result)
            if key in refused:
                log_refusal(cluster, refused[key])
        return [reply for key, reply in found.items() if key not in refused]

    def without_outliers(self, kind: str, replies: Iterable[Any], phase: Phase) -> list[Any] | None:
        """After the strategy raised: the replies without those that differ from the majority, which are refused. None if none differs."""
        odd = self.judge.outliers(kind, self.got) if self.judge.rules.consistent else {}
        if not odd:
            return None
        kept = [reply for reply in replies if reply.metadata.reply_to_message_id not in odd]
        for reply in replies:
            if (verdict := odd.get(reply.metadata.reply_to_message_id)) is not None:
                self._refuse(reply, phase, verdict)
        self.got = {key: each for key, each in self.got.items() if key not in odd}
        return kept

    def leave_out(self, reply: Any, error: Exception, phase: Phase) -> None:
        """Refuses a reply with which the strategy raises `error`, and without which it does not."""
        self._refuse(reply, phase, (Refused.REPLY_INVALID, f"the strategy raises {type(error).__name__} with it, and not without it"))
        self.got.pop(reply.metadata.reply_to_message_id, None)

    def accept(self, kind: str) -> None:
        self.judge.accept(kind, self.got.values())

    def _result(self, key: str, reply: Any, refused: Verdict | None) -> MessageResult:
        if reply is None:
            return MessageResult()
        if refused is not None:
            return MessageResult(refused[0], printable(refused[1]))
        return result_of(reply, self._seconds.get(key))

    def _refuse(self, reply: Any, phase: Phase, verdict: Verdict) -> None:
        """Refuses a reply that was already counted."""
        cluster = self.clusters.of(reply.metadata.src_node_id)
        log_refusal(cluster, verdict)
        phase.replies -= 1
        phase.collaborators.pop(cluster, None)
        phase.take(cluster, MessageResult(verdict[0], printable(verdict[1])))


def copy_for(message: Any, node: int) -> Any:
    """A copy of the message for `node`."""
    metadata = message.metadata
    return type(message)(message.content, node, metadata.message_type, ttl=metadata.ttl, group_id=metadata.group_id)
