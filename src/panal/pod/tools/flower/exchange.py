"""Sends the messages of a phase and collects the replies, as Flower's grid does, but withholds replies that the judge refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..codes import TRAIN, Refused, Unanswered
from ..files import number, straggler_grace
from .client_hook import RECORD
from .environment import GIVEN_UP
from .errors import incoming_error, printable
from .judge import Description, Judge, Verdict, describe
from .late import Grace, Late
from .replies import Clusters, MessageResult, Phase, Report, in_order, log_refusal, result_of, take_record
from .update_norm import too_large

# Seconds:
RECONNECT = 30.0  # for a failed collaborator to reconnect, if enough others are connected
QUORUM_TIMEOUT = 600  # until the launcher ends a run whose quorum is lost; used only without the controller


@dataclass
class Sent:
    """A message that was sent to `node`, and the description of its content."""

    node: int
    sent: Description
    message: Any


class Exchange:
    """Replaces `send_and_receive` of Flower's `grid`: polls sooner than every three seconds and withholds replies that `judge` refuses."""

    def __init__(
        self, grid: Any, judge: Judge, clusters: Clusters | None = None, mark: Callable[[], Any] | None = None, *, spares: bool = True
    ) -> None:
        """`mark` returns a ConfigRecord that is added to each message for panal's `client_hook`. `spares`: whether a message may also go to
        a node that had none, if its own node fails."""
        self.push, self.pull, self.nodes = grid.push_messages, grid.pull_messages, grid.get_node_ids
        self.clusters = clusters or Clusters()
        self.judge = judge
        self._mark, self._spares = mark, spares
        self.got: dict[str, Description] = {}  # the accepted replies of the last phase, by the id of the message that they answer
        self._asked: dict[str, Sent] = {}
        self._replies: dict[str, Any] = {}
        self._reports: dict[str, Report] = {}
        self._described: dict[str, Description] = {}  # of `_replies`
        self._late: set[str] = set()  # messages without a reply when the phase's grace was over
        self.results: dict[int, MessageResult] = {}  # the results of the last phase, by node
        self._rejected: list[Any] = []  # messages that the SuperLink did not accept
        self._needed = 0  # and `_patience`: of the last call
        self._patience: float | None = None

    def __call__(
        self, messages: Iterable[Any], timeout: float | None, kind: str, *, needed: int = 0, patience: float | None = None
    ) -> tuple[list[Any], Phase]:
        """`patience`: the seconds that the others have after `needed` replies; None: spec.server.stragglerGraceSeconds, after the quorum or
        `needed` replies if that is more."""
        self.clear()
        self._needed, self._patience = needed, patience
        return self._exchange(list(messages), timeout, kind)

    def resend(self, timeout: float | None, kind: str, quorum: int = 0) -> tuple[list[Any], Phase]:
        """Sends the failed messages again, also those that the SuperLink did not accept, each to the current node of its cluster. If all
        nodes got the same content, each is also sent to a node that had none, because the first may fail again. Earlier replies still
        count. Waits before as long as fewer nodes than `quorum` are connected."""
        unanswered = [key for key in self._asked if key not in self.got]
        failed = [*(self._asked[key].message for key in unanswered), *self._rejected]
        self.wait_for([message.metadata.dst_node_id for message in failed], quorum)
        messages = [copy_for(message, self.clusters.successor(message.metadata.dst_node_id)) for message in failed]
        messages += [copy_for(message, node) for message, node in zip(failed, self._spare_nodes())]
        for key in unanswered:
            del self._asked[key]
            self._replies.pop(key, None)
            self._described.pop(key, None)
        return self._exchange(messages, timeout, kind)

    def _spare_nodes(self) -> list[int]:
        """The nodes that got no message, if they may and can replace a failed one because all messages have the same content."""
        messages = [*(each.message for each in self._asked.values()), *self._rejected]
        if not self._spares or len({id(message.content) for message in messages}) != 1:
            return []
        asked = {self.clusters.successor(message.metadata.dst_node_id) for message in messages}
        return [node for node in self.nodes() if node not in asked]

    def clear(self) -> None:
        """Drops the messages and replies, which `resend` no longer needs."""
        self._asked, self._replies, self._reports, self._described, self._late, self._rejected = {}, {}, {}, {}, set(), []

    def _exchange(self, messages: list[Any], timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        began = time.monotonic()
        asked = self._send(messages)
        self._asked |= asked
        self._replies |= self._collect(asked, timeout, began, kind)
        phase = Phase(sent=len(self._asked) + len(self._rejected))
        for message in self._rejected:
            phase.take(self.clusters.of(message.metadata.dst_node_id), MessageResult())
        replies = self._judge(kind, phase)
        phase.seconds = time.monotonic() - began
        return replies, phase

    def _send(self, messages: list[Any]) -> dict[str, Sent]:
        contents: dict[int, Description] = {}  # all messages usually share one content
        empty = Description({}, {}, {})
        described = [contents.setdefault(id(m.content), describe(m.content)) if m.has_content() else empty for m in messages]
        ids = self.push(self.marked(messages)) if messages else []
        self._rejected = [m for i, m in zip(ids, messages) if not i]
        return {i: Sent(m.metadata.dst_node_id, d, m) for i, m, d in zip(ids, messages, described) if i}

    def marked(self, messages: list[Any]) -> list[Any]:
        """Copies of the messages with the mark. The app's own messages stay as they are."""
        if self._mark is None:
            return messages
        mark, contents = self._mark(), {}
        for message in messages:
            if message.has_content() and id(message.content) not in contents:
                content = contents[id(message.content)] = type(message.content)(dict(message.content.items()))
                content[RECORD] = mark
        return [copy_for(m, m.metadata.dst_node_id, contents[id(m.content)]) if m.has_content() else m for m in messages]

    def reports(self) -> Iterable[tuple[int, Report | None]]:
        """What each node that was asked in the last phase has reported; None without a reply that counts."""
        return [(each.node, self._reports.get(key) if key in self.got else None) for key, each in self._asked.items()]

    def wait_for(self, nodes: Sequence[int], quorum: int) -> None:
        """Waits until the clusters of `nodes` are connected: up to RECONNECT seconds, and without the quorum until the launcher ends the
        run."""
        began, longest = time.monotonic(), max(RECONNECT, number("PANAL_QUORUM_TIMEOUT", QUORUM_TIMEOUT))
        late = Late(self.clusters)
        while absent := {self.clusters.successor(node) for node in nodes} - (connected := set(self.nodes())):
            if time.monotonic() - began >= (RECONNECT if len(connected) >= quorum else longest):
                break
            late.report(absent)
            time.sleep(0.5)
        late.over()

    def _collect(self, asked: Mapping[str, Sent], timeout: float | None, began: float, kind: str) -> dict[str, Any]:
        """The replies within the timeout, by the id of the message that they answer. The SuperLink drops those that come later."""
        found: dict[str, Any] = {}
        late, grace = Late(self.clusters), self._grace()
        while len(found) < len(asked):
            found |= {r.metadata.reply_to_message_id: r for r in self.pull({i for i in asked if i not in found})}
            failed = {asked[key].node: incoming_error(r.error.code, r.error.reason) for key, r in found.items() if r.has_error()}
            counted = [each.node for key, each in asked.items() if key in found and each.node not in failed]
            late.note([each.node for key, each in asked.items() if key not in found], counted, failed)
            waited = time.monotonic() - began
            if timeout is not None and waited >= timeout:
                break
            if grace.is_over(contents(got := self._replies | found), lambda: len(self._accepted(kind, got)[1])):
                self._late |= asked.keys() - found.keys()
                break
            if len(found) < len(asked):
                time.sleep(min(3.0, max(0.2, waited / 20), grace.left()))
        late.over()
        if missing := asked.keys() - found.keys():
            self.pull({f"{GIVEN_UP}{key}" for key in missing})
        return found

    def _grace(self) -> Grace:
        if self._patience is not None:
            return Grace(min(self._needed, len(self._asked)), self._patience)
        return Grace(min(max(self._needed, number("PANAL_MIN_CLIENTS", 1)), len(self._asked)), straggler_grace())

    def _judge(self, kind: str, phase: Phase) -> list[Any]:
        """The accepted replies. The cluster is that of the node to which the message was sent: the guard accepts a reply only from it."""
        asked, found = self._asked, self._replies
        refused, self.got = self._accepted(kind, found)
        in_order({key: found[key].content for key in self.got}, self.got)
        self.results = {}
        for key, each in asked.items():
            self.results[each.node] = result = self._result(key, found.get(key), refused.get(key))
            phase.take(cluster := self.clusters.of(each.node), result)
            if key in refused:
                log_refusal(cluster, refused[key])
        accepted = [key for key in found if key not in refused]
        return [found[key] for key in sorted(accepted, key=lambda key: self.clusters.of(asked[key].node))]  # sums depend on the order

    def _accepted(self, kind: str, replies: Mapping[str, Any]) -> tuple[dict[str, Verdict], dict[str, Description]]:
        """The verdicts on the refused replies, and the descriptions of the accepted ones."""
        for key, reply in replies.items():
            if key not in self._described and reply.has_content():
                self._reports[key] = take_record(reply.content)
                self._described[key] = self._describe(kind, key, reply.content)
        got = {key: self._described[key] for key in replies if key in self._described}
        refused = self.judge.refused(kind, {key: each.sent for key, each in self._asked.items()}, got)
        return refused, {key: each for key, each in got.items() if key not in refused}

    def _describe(self, kind: str, key: str, content: Any) -> Description:
        found, limit = describe(content, self.judge.rules), self.judge.rules.largest_norm
        if limit is None or kind != TRAIN or found.trouble:
            return found
        message = self._asked[key].message
        sent = message.content if message.has_content() else type(content)()
        return replace(found, trouble=too_large(sent, content, limit))

    def without_outliers(self, kind: str, replies: Iterable[Any], phase: Phase) -> list[Any] | None:
        """After the strategy raised: the replies without those that differ from the majority, which are refused. None if none differs."""
        odd = self.judge.outliers(kind, self.got) if self.judge.rules.consistent else {}
        if not odd:
            return None
        kept = [reply for reply in replies if reply.metadata.reply_to_message_id not in odd]
        for reply in replies:
            if (verdict := odd.get(reply.metadata.reply_to_message_id)) is not None:
                self.refuse(reply, phase, verdict)
        self.got = {key: each for key, each in self.got.items() if key not in odd}
        return kept

    def leave_out(self, reply: Any, error: Exception, phase: Phase) -> None:
        """Refuses a reply with which the strategy raises `error`, and without which it does not."""
        self.refuse(reply, phase, (Refused.REPLY_INVALID, f"the strategy raises {type(error).__name__} with it, and not without it"))
        self.got.pop(reply.metadata.reply_to_message_id, None)

    def accept(self, kind: str) -> None:
        self.judge.accept(kind, self.got.values())

    def _result(self, key: str, reply: Any, refused: Verdict | None) -> MessageResult:
        if reply is None:
            return MessageResult(Unanswered.LATE) if key in self._late else MessageResult()
        if refused is not None:
            return MessageResult(refused[0], printable(refused[1]))
        return result_of(reply, self._reports.get(key, Report()).seconds)

    def refuse(self, reply: Any, phase: Phase, verdict: Verdict) -> None:
        """Refuses a reply that was already counted."""
        cluster = self.clusters.of(reply.metadata.src_node_id)
        log_refusal(cluster, verdict)
        phase.take_back(cluster, MessageResult(verdict[0], printable(verdict[1])))


def contents(replies: Mapping[str, Any]) -> int:
    """How many of the replies are not errors."""
    return sum(reply.has_content() for reply in replies.values())


def copy_for(message: Any, node: int, content: Any = None) -> Any:
    """A copy of the message for `node`, with other content if it is given."""
    metadata = message.metadata
    return type(message)(
        message.content if content is None else content, node, metadata.message_type, ttl=metadata.ttl, group_id=metadata.group_id
    )
