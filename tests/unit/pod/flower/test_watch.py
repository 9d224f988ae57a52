"""Rounds of an app's own main loop, derived from its messages on a fake grid, and how long an app may wait for nodes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.files import RunError, read_records
from panal.pod.tools.flower import watch
from panal.pod.tools.flower.environment import append_node
from panal.pod.tools.flower.exchange import Exchange
from panal.pod.tools.flower.journal import Journal
from panal.pod.tools.flower.judge import Judge, Rules
from panal.pod.tools.flower.starts import Starts
from panal.pod.tools.flower.watch import Waiting, Watch
from panal.pod.tools.records import Round


class Grid:
    """Its nodes reply at once, except those in `silent`."""

    def __init__(self) -> None:
        self.nodes, self.silent = [1, 2], set[int]()
        self.sent: dict[str, Any] = {}

    def get_node_ids(self) -> list[int]:
        return self.nodes

    def push_messages(self, messages: Any) -> list[str]:
        names = [f"m{len(self.sent) + n}" for n, _ in enumerate(messages)]
        self.sent |= dict(zip(names, messages, strict=True))
        return names

    def pull_messages(self, names: Any) -> list[Any]:
        return [
            reply(name, self.sent[name].metadata.dst_node_id) for name in names if self.sent[name].metadata.dst_node_id not in self.silent
        ]


def message(node: int, kind: str = "train", group: str = "") -> Any:
    metadata = SimpleNamespace(dst_node_id=node, message_type=kind, group_id=group, ttl=60.0)
    return SimpleNamespace(metadata=metadata, content=None, has_content=lambda: False)


def reply(name: str, node: int) -> Any:
    content = SimpleNamespace(metric_records={"m": {"loss": node / 2}}, array_records={}, config_records={})
    metadata = SimpleNamespace(reply_to_message_id=name, src_node_id=node)
    return SimpleNamespace(metadata=metadata, content=content, has_content=lambda: True, has_error=lambda: False)


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    for node in (1, 2):
        append_node(node, f"c{node}")
    found: Any = Grid()
    found.watch = Watch(found, Starts(tmp_path))
    return found


def rounds() -> list[tuple[int, str, int]]:
    return [(r.round, r.phase, -1 if r.replies is None else r.replies) for r in read_records() if isinstance(r, Round)]


def test_a_training_starts_a_round(grid: Any) -> None:
    for _ in range(2):
        grid.send_and_receive([message(1), message(2)])
        grid.send_and_receive([message(1, "evaluate"), message(2, "evaluate")])
    grid.watch.close()
    first = [(1, "train", 2), (1, "evaluate", 2), (1, "end", -1)]
    assert rounds() == first + [(2, phase, replies) for _, phase, replies in first]


def test_messages_of_one_group_are_one_round(grid: Any) -> None:
    for group in ("1", "1", "1", "2"):
        grid.send_and_receive([message(1, group=group), message(2, group=group)])
    grid.watch.close()
    assert [n for n, phase, _ in rounds() if phase == "end"] == [1, 2]
    assert [n for n, phase, _ in rounds() if phase == "train"] == [1, 1, 1, 2]


def test_messages_to_single_nodes_make_one_round(grid: Any) -> None:
    for node in (1, 2, 1):
        grid.send_and_receive([message(node, "query")])
    grid.watch.close()
    assert rounds() == [(1, "query", 1), (1, "query", 2), (1, "end", -1), (2, "query", 1), (2, "end", -1)]


def test_a_pushed_message_without_a_reply_is_a_failure(grid: Any) -> None:
    grid.silent = {2}
    names = grid.push_messages([message(1), message(2)])
    assert len(grid.pull_messages(names)) == 1
    grid.watch.close()
    last = [r for r in read_records() if isinstance(r, Round) and r.phase == "train"][-1].content()
    assert (last["replies"], last["failures"], last["failed"]) == (1, 1, {"c2": "NoReply"})
    assert last["collaborators"] == {"c1": {"metrics": {"loss": 0.5}}}


def test_messages_of_other_kinds_make_no_rounds(grid: Any) -> None:
    grid.send_and_receive([message(1, "get_parameters", "0")])
    grid.send_and_receive([message(1, "train.head"), message(2, "train.head")])
    grid.watch.close()
    assert rounds() == [(1, "train", 2), (1, "end", -1)]


def look(waiting: Waiting, there: int) -> None:
    nodes = list(range(there))
    while len(nodes) < 5:
        waiting.note_poll(there, sys._getframe())
        break


def test_a_wait_for_nodes_is_reported_and_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("PANAL_QUORUM_TIMEOUT", "100")
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: clock.now))
    waiting = Waiting(Journal())
    look(waiting, 3)
    clock.now += 900  # the app was busy in the meantime
    look(waiting, 3)
    assert not read_records()
    for _ in range(20):
        clock.now += 5
        look(waiting, 3)
    assert [r.content()["message"] for r in read_records()] == ["the app waits for 5 nodes, 3 are there"]
    clock.now += 5
    with pytest.raises(RunError, match="waits for 5 nodes"):
        look(waiting, 3)
    assert read_records()[-1].event == "stopped"
    waiting.over()
    look(waiting, 3)  # a separate wait


class Sent:
    """A message that can be sent again."""

    def __init__(self, content: Any, node: int, kind: str, ttl: float = 60.0, group_id: str = "") -> None:
        self.content = content
        self.metadata = SimpleNamespace(dst_node_id=node, message_type=kind, ttl=ttl, group_id=group_id)

    def has_content(self) -> bool:
        return False


def test_failed_messages_are_sent_again_and_to_spare_nodes(grid: Any) -> None:
    append_node(3, "c3")
    grid.nodes, grid.silent = [1, 2, 3], {2}
    content = object()
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    _, phase = exchange([Sent(content, 1, "train"), Sent(content, 2, "train")], 0.0, "train")
    assert (phase.replies, phase.failed) == (1, {"c2": "NoReply"})
    replies, phase = exchange.resend(0.0, "train")
    assert sorted(r.metadata.src_node_id for r in replies) == [1, 3]
    assert (phase.replies, phase.sent, phase.failed) == (2, 3, {"c2": "NoReply"})
    append_node(4, "c2")  # restarted
    grid.nodes = [1, 3, 4]
    replies, phase = exchange.resend(0.0, "train")
    assert sorted(r.metadata.src_node_id for r in replies) == [1, 3, 4]
    assert phase.failed == {}


def test_different_messages_are_not_sent_to_spare_nodes(grid: Any) -> None:
    grid.nodes, grid.silent = [1, 2, 3], {2}
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    exchange([Sent(object(), 1, "train"), Sent(object(), 2, "train")], 0.0, "train")
    replies, phase = exchange.resend(0.0, "train")
    assert ([r.metadata.src_node_id for r in replies], phase.sent) == ([1], 2)
