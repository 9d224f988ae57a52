"""Rounds of an app's own main loop, derived from its messages on a fake grid, and how long an app may wait for nodes."""

from __future__ import annotations

import sys
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panal.api.progress import Progress
from panal.pod.fold import fold
from panal.pod.tools.codes import Refused
from panal.pod.tools.files import RunError, read_records
from panal.pod.tools.flower import exchange as exchange_module
from panal.pod.tools.flower import late, watch
from panal.pod.tools.flower.environment import GIVEN_UP, append_node
from panal.pod.tools.flower.exchange import Exchange
from panal.pod.tools.flower.journal import Journal
from panal.pod.tools.flower.judge import Judge, Rules
from panal.pod.tools.flower.starts import Starts
from panal.pod.tools.flower.watch import Waiting, Watch
from panal.pod.tools.records import Round
from panal.pod.tools.records import Waiting as WaitingRecord


class Grid:
    """Its nodes reply at once, except those in `silent`. Messages to those in `unknown` are not accepted."""

    def __init__(self) -> None:
        self.nodes, self.silent, self.unknown = [1, 2], set[int](), set[int]()
        self.sent: dict[str, Any] = {}
        self.given_up: list[int] = []  # the nodes whose replies are no longer waited for

    def get_node_ids(self) -> list[int]:
        return self.nodes

    def push_messages(self, messages: Any) -> list[str]:
        names = [f"m{len(self.sent) + n}" for n, _ in enumerate(messages)]
        self.sent |= dict(zip(names, messages, strict=True))
        return ["" if each.metadata.dst_node_id in self.unknown else name for name, each in zip(names, messages, strict=True)]

    def pull_messages(self, names: Any) -> list[Any]:
        self.given_up += [self.sent[n.removeprefix(GIVEN_UP)].metadata.dst_node_id for n in names if n.startswith(GIVEN_UP)]
        nodes = {name: self.sent[name].metadata.dst_node_id for name in names if not name.startswith(GIVEN_UP)}
        return [reply(name, node) for name, node in nodes.items() if node not in self.silent]


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


def test_messages_that_were_not_accepted_are_missed_and_sent_again(grid: Any) -> None:
    grid.unknown = {1, 2}
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    content = object()
    replies, phase = exchange([Sent(content, 1, "train"), Sent(content, 2, "train")], 0.0, "train")
    assert (replies, phase.sent, phase.failures, phase.failed) == ([], 2, 2, {"c1": "NoReply", "c2": "NoReply"})
    grid.unknown = {2}
    replies, phase = exchange.resend(0.0, "train")
    assert ([r.metadata.src_node_id for r in replies], phase.sent, phase.failed) == ([1], 2, {"c2": "NoReply"})
    append_node(5, "c2")  # restarted
    grid.nodes = [1, 5]
    replies, phase = exchange.resend(0.0, "train")
    assert (sorted(r.metadata.src_node_id for r in replies), phase.sent, phase.failed) == ([1, 5], 2, {})


def test_different_messages_are_not_sent_to_spare_nodes(grid: Any) -> None:
    grid.nodes, grid.silent = [1, 2, 3], {2}
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    exchange([Sent(object(), 1, "train"), Sent(object(), 2, "train")], 0.0, "train")
    replies, phase = exchange.resend(0.0, "train")
    assert ([r.metadata.src_node_id for r in replies], phase.sent) == ([1], 2)


def test_a_message_that_is_for_one_node_alone_is_sent_to_no_spare_node(grid: Any) -> None:
    grid.nodes, grid.silent = [1, 2, 3], {2}
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters, spares=False)
    exchange([Sent(object(), 2, "train")], 0.0, "train")
    replies, phase = exchange.resend(0.0, "train")
    assert (replies, phase.sent, phase.failed) == ([], 1, {"c2": "NoReply"})


def waits() -> list[str]:
    return [r.message for r in read_records() if isinstance(r, WaitingRecord)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = SimpleNamespace(now=1000.0)
    found.monotonic = lambda: found.now
    found.sleep = lambda seconds: setattr(found, "now", found.now + seconds)
    for module in (late, exchange_module):
        monkeypatch.setattr(module, "time", found)
    return found


def test_the_clusters_that_a_round_waits_for_are_reported_until_it_ends(grid: Any, clock: Any) -> None:
    grid.silent = {2}
    grid.send_and_receive([message(1), message(2)], timeout=30.0)
    assert waits() == ["waits for c2", ""]
    assert 1010 <= clock.now < 1040


def test_a_round_without_any_reply_has_no_late_clusters(grid: Any, clock: Any) -> None:
    grid.silent = {1, 2}
    grid.send_and_receive([message(1), message(2)], timeout=30.0)
    assert waits() == []


def test_an_app_that_polls_itself_waits_for_late_clusters_too(grid: Any, clock: Any) -> None:
    grid.silent = {2}
    names = grid.push_messages([message(1), message(2)])
    for _ in range(4):
        grid.pull_messages(names)
        clock.now += 6
    assert waits() == ["waits for c2"]
    grid.silent = set()
    grid.pull_messages(names)
    assert reduce(fold, read_records(), Progress()).waiting == ""


def test_a_phase_that_is_repeated_waits_for_clusters_that_are_not_connected(grid: Any, clock: Any) -> None:
    grid.silent = {2}
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    exchange([Sent(object(), 1, "train"), Sent(object(), 2, "train")], 0.0, "train")
    grid.nodes = [1]
    exchange.resend(0.0, "train")
    assert waits() == ["waits for c2", ""]


@pytest.mark.parametrize(
    ("quorum", "back", "waited"),
    [
        (2, 113, 113),  # Flower notices a cut of two minutes after 37 to 60 s, and a node tries to connect at least every 30 s
        (1, 113, 30),  # enough nodes are connected
        (1, 20, 20),
        (2, 900, 300),  # the launcher has ended the run
    ],
)
def test_a_phase_is_repeated_when_the_quorum_is_connected_again(
    grid: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, quorum: int, back: float, waited: float
) -> None:
    monkeypatch.setenv("PANAL_QUORUM_TIMEOUT", "300")
    grid.silent = {2}
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    exchange([Sent(object(), 1, "train"), Sent(object(), 2, "train")], 0.0, "train")
    failed = clock.now
    exchange.nodes = lambda: [1, 2] if clock.now >= failed + back else [1]
    exchange.resend(0.0, "train", quorum)
    assert clock.now - failed == pytest.approx(waited, abs=1)


@pytest.mark.parametrize(
    ("grace", "minimum", "silent", "ended", "failed"),
    [
        ("", 1, {2}, 30, {"c2": "NoReply"}),  # not set
        ("5", 1, {2}, 5, {"c2": "Late"}),
        ("0", 1, {2}, 0, {"c2": "Late"}),
        ("5", 1, set[int](), 0, {}),  # all have replied
        ("5", 2, {2}, 30, {"c2": "NoReply"}),  # too few have replied
        ("5", 9, {2}, 30, {"c2": "NoReply"}),
        ("50", 1, {2}, 30, {"c2": "NoReply"}),  # the round's timeout comes first
    ],
)
def test_a_phase_ends_a_while_after_the_last_reply_that_it_needs(
    grid: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, grace: str, minimum: int, silent: set[int], ended: float, failed: dict[str, str]
) -> None:
    monkeypatch.setenv("PANAL_STRAGGLER_GRACE", grace)
    monkeypatch.setenv("PANAL_MIN_CLIENTS", str(minimum))
    grid.silent = silent
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    _, phase = exchange([Sent(object(), 1, "train"), Sent(object(), 2, "train")], 30.0, "train")
    assert clock.now - 1000 == pytest.approx(ended, abs=0.01 if grace in ("0", "5") and ended < 30 else 3)
    assert phase.failed == failed
    assert grid.given_up == sorted(silent)  # the SuperLink drops what they send later


@pytest.mark.parametrize(
    ("grace", "call", "silent", "ended"),
    [
        ("", {"needed": 2, "patience": 5.0}, {3}, 5),
        ("", {"needed": 3, "patience": 5.0}, {3}, 30),
        ("20", {"needed": 2, "patience": 5.0}, {3}, 5),
        ("5", {"needed": 2}, {3}, 5),
        ("5", {"needed": 2}, {2, 3}, 30),
        ("5", {}, {2, 3}, 5),
    ],
)
def test_a_call_says_how_many_replies_it_needs_and_how_long_the_others_have(
    grid: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, grace: str, call: dict[str, Any], silent: set[int], ended: float
) -> None:
    """As the steps of secure aggregation do. The quorum is one."""
    monkeypatch.setenv("PANAL_STRAGGLER_GRACE", grace)
    append_node(3, "c3")
    grid.nodes, grid.silent = [1, 2, 3], silent
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    exchange([Sent(object(), node, "query") for node in grid.nodes], 30.0, "query", **call)
    assert clock.now - 1000 == pytest.approx(ended, abs=1.5)


def test_a_refused_reply_is_not_one_that_a_phase_needs(grid: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_STRAGGLER_GRACE", "5")
    append_node(3, "c3")
    grid.nodes, grid.silent = [1, 2, 3], {2, 3}
    exchange = Exchange(grid.watch.originals, Judge(Rules()), grid.watch.clusters)
    refused = (Refused.NOT_FINITE, "")
    monkeypatch.setattr(exchange.judge, "refused", lambda kind, sent, got: {key: refused for key in got if sent_to(grid, key) == 1})
    pull = exchange.pull

    def pulled(names: Any) -> list[Any]:
        grid.silent = {2, 3} if clock.now < 1020 else {3}
        return list(pull(names))

    exchange.pull = pulled
    _, phase = exchange([Sent(object(), node, "train") for node in grid.nodes], 60.0, "train")
    assert 1025 <= clock.now <= 1030
    assert phase.failed == {"c1": "NotFinite", "c3": "Late"}


def sent_to(grid: Any, name: str) -> int:
    return int(grid.sent[name].metadata.dst_node_id)


def test_late_clusters_are_told_once_and_kept_up_to_date(grid: Any, clock: Any) -> None:
    wait = late.Late(grid.watch.clusters)
    for counted, missing in (([3], [1, 2]), ([3], [1, 2]), ([3], [1, 2]), ([3, 1], [2]), ([3, 1, 2], [])):
        wait.note(missing, counted)
        clock.now += 10
    wait.over()
    assert waits() == ["waits for c1 and c2", "waits for c2", ""]


def test_who_has_replied_and_who_has_failed_is_told_with_the_late_ones(grid: Any, clock: Any) -> None:
    wait = late.Late(grid.watch.clusters)
    for _ in range(2):
        wait.note([3], [1], {2: ("FileNotFoundError", "no labels.csv")})
        clock.now += late.QUIET
    wait.over()
    told = [r for r in read_records() if isinstance(r, WaitingRecord)]
    assert [(r.message, r.replied, r.failed, r.messages) for r in told] == [
        ("waits for 1 cluster", ["c1"], {"c2": "FileNotFoundError"}, {"c2": "no labels.csv"}),
        ("", None, None, None),
    ]


@pytest.mark.parametrize(
    ("clusters", "text"),
    [
        ([], ""),
        (["b"], "waits for b"),
        (["b", "a"], "waits for a and b"),
        (["c", "b", "a"], "waits for a, b and c"),
        (["d", "c", "b", "a"], "waits for a, b, c and 1 more"),
        ([f"c{n:04}" for n in range(3500)], "waits for c0000, c0001, c0002 and 3497 more"),
        (["", "b"], "waits for b and 1 more"),
        ([""], "waits for 1 cluster"),
        (["", ""], "waits for 2 clusters"),
    ],
)
def test_three_late_clusters_are_named_and_the_others_counted(clusters: list[str], text: str) -> None:
    assert late.waits_for(clusters) == text
