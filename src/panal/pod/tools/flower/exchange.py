"""Sends the messages of a phase and collects the replies, as Flower's grid does, but withholds replies that the judge refuses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..codes import Refused
from .errors import printable
from .judge import Description, Judge, Verdict, describe
from .replies import Answer, Clusters, Phase, answer_of, in_order, say_refused, take_record

RETURNING = 30.0  # seconds for a failed collaborator to reconnect


@dataclass
class Asked:
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
        self._asked: dict[str, Asked] = {}
        self._found: dict[str, Any] = {}
        self._seconds: dict[str, float | None] = {}
        self.answers: dict[int, Answer] = {}  # the results of the last phase, by node
        self._lost = 0  # messages that the SuperLink did not accept

    def __call__(self, messages: Iterable[Any], timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        self._asked, self._found, self._seconds, self._lost = {}, {}, {}, 0
        return self._exchange(list(messages), timeout, kind)

    def again(self, timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        """Sends the failed messages again, each to the current node of its cluster. If all nodes got the same content, each is also sent to
        a node that had none, because the first may fail again. Earlier replies still count."""
        failed = {key: each for key, each in self._asked.items() if key not in self.got}
        self._wait_for(each.node for each in failed.values())
        messages = [same(each.message, self.clusters.successor(each.node)) for each in failed.values()]
        messages += [same(each.message, node) for each, node in zip(failed.values(), self._not_asked())]
        for key in failed:
            del self._asked[key]
            self._found.pop(key, None)
        self._lost = 0
        return self._exchange(messages, timeout, kind)

    def _not_asked(self) -> list[int]:
        """The nodes that got no message, if they can replace a failed one because all messages have the same content."""
        if len({id(each.message.content) for each in self._asked.values()}) != 1:
            return []
        asked = {self.clusters.successor(each.node) for each in self._asked.values()}
        return [node for node in self.nodes() if node not in asked]

    def forget(self) -> None:
        """Drops the messages and replies, which `again` no longer needs."""
        self._asked, self._found, self._seconds = {}, {}, {}

    def _exchange(self, messages: list[Any], timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        began = time.monotonic()
        asked = self._send(messages)
        self._asked |= asked
        self._found |= self._collect(asked, timeout, began)
        phase = Phase(sent=len(self._asked) + self._lost, failures=self._lost)
        replies = self._judged(kind, phase)
        phase.seconds = time.monotonic() - began
        return replies, phase

    def _send(self, messages: list[Any]) -> dict[str, Asked]:
        contents: dict[int, Description] = {}  # all messages usually share one content
        empty = Description({}, {}, {})
        described = [contents.setdefault(id(m.content), describe(m.content)) if m.has_content() else empty for m in messages]
        ids = self.push(messages) if messages else []
        asked = {i: Asked(m.metadata.dst_node_id, d, m) for i, m, d in zip(ids, messages, described) if i}
        self._lost = len(messages) - len(asked)
        return asked

    def _wait_for(self, nodes: Iterable[int]) -> None:
        """Waits up to RETURNING seconds until the clusters of `nodes` are connected."""
        wanted, end = list(nodes), time.monotonic() + RETURNING
        while not {self.clusters.successor(node) for node in wanted} <= set(self.nodes()) and time.monotonic() < end:
            time.sleep(0.5)

    def _collect(self, asked: Mapping[str, Asked], timeout: float | None, began: float) -> dict[str, Any]:
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

    def _judged(self, kind: str, phase: Phase) -> list[Any]:
        """The accepted replies. The cluster is that of the node to which the message was sent: the guard accepts a reply only from it."""
        asked, found, rules = self._asked, self._found, self.judge.rules
        got = {key: describe(reply.content, rules) for key, reply in found.items() if reply.has_content()}
        refused = self.judge.refused(kind, {key: each.sent for key, each in asked.items()}, got)
        self.got = {key: each for key, each in got.items() if key not in refused}
        in_order({key: found[key].content for key in self.got}, self.got)
        self.answers = {}
        for key, each in asked.items():
            self.answers[each.node] = answer = self._answer(key, found.get(key), refused.get(key))
            phase.take(cluster := self.clusters.of(each.node), answer)
            if key in refused:
                say_refused(cluster, refused[key])
        return [reply for key, reply in found.items() if key not in refused]

    def without_odd_ones(self, kind: str, replies: Iterable[Any], phase: Phase) -> list[Any] | None:
        """After the strategy raised: the replies without those that differ from the majority, which are refused. None if none differs."""
        odd = self.judge.odd_ones(kind, self.got) if self.judge.rules.consistent else {}
        if not odd:
            return None
        kept = [reply for reply in replies if reply.metadata.reply_to_message_id not in odd]
        for reply in replies:
            if (told := odd.get(reply.metadata.reply_to_message_id)) is not None:
                self._refuse(reply, phase, told)
        self.got = {key: each for key, each in self.got.items() if key not in odd}
        return kept

    def leave_out(self, reply: Any, error: Exception, phase: Phase) -> None:
        """Refuses a reply with which the strategy raises `error`, and without which it does not."""
        self._refuse(reply, phase, (Refused.REPLY_INVALID, f"the strategy raises {type(error).__name__} with it, and not without it"))
        self.got.pop(reply.metadata.reply_to_message_id, None)

    def took(self, kind: str) -> None:
        self.judge.took(kind, self.got.values())

    def _answer(self, key: str, reply: Any, refused: Verdict | None) -> Answer:
        if reply is None:
            return Answer()
        if refused is not None:
            return Answer(refused[0], printable(refused[1]))
        return answer_of(reply, self._seconds.get(key))

    def _refuse(self, reply: Any, phase: Phase, told: Verdict) -> None:
        """Refuses a reply that was already counted."""
        cluster = self.clusters.of(reply.metadata.src_node_id)
        say_refused(cluster, told)
        phase.replies -= 1
        phase.collaborators.pop(cluster, None)
        phase.take(cluster, Answer(told[0], printable(told[1])))


def same(message: Any, node: int) -> Any:
    """A copy of the message for `node`."""
    said = message.metadata
    return type(message)(message.content, node, said.message_type, ttl=said.ttl, group_id=said.group_id)
