"""The updates for which sites of a private run were asked, from the messages on a fake grid."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.files import SPENT, read_records
from panal.pod.tools.flower.environment import append_node
from panal.pod.tools.flower.errors import written
from panal.pod.tools.flower.replies import Clusters
from panal.pod.tools.flower.updates import UNSENT, Counted
from panal.pod.tools.records import Notice, Updates


def message(node: int, kind: str = "train") -> Any:
    return SimpleNamespace(metadata=SimpleNamespace(dst_node_id=node, message_type=kind))


def reply(to: str, error: str | None = None) -> Any:
    metadata = SimpleNamespace(reply_to_message_id=to)
    return SimpleNamespace(metadata=metadata, has_error=lambda: error is not None, error=SimpleNamespace(reason=error))


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    for node in (1, 2):
        append_node(node, f"cluster{node}")


def told() -> list[tuple[list[str], list[str]]]:
    return [(each.asked or [], each.without or []) for each in read_records() if isinstance(each, Updates)]


def test_an_update_counts_before_its_message_is_sent() -> None:
    def push(messages: Any) -> list[str]:
        assert told() == [(["cluster1", "cluster2"], [])]
        raise OSError("killed")

    with pytest.raises(OSError):
        Counted(push, list, Clusters()).push_messages([message(1), message(2, "train.fine-tune")])
    assert told() == [(["cluster1", "cluster2"], [])]


def test_other_messages_and_unknown_nodes_do_not_count() -> None:
    grid = Counted(lambda messages: [f"m{n}" for n, _ in enumerate(messages)], list, Clusters())
    assert grid.push_messages([message(1, "evaluate"), message(2, "query"), message(9)]) == ["m0", "m1", "m2"]
    assert told() == []


ANSWERS = [
    (None, []),  # an update
    (written("UpdateNotFinite"), ["cluster1"]),
    (written("ValueError", "patient 4711"), ["cluster1"]),
    ("Message Unavailable - The requested message could not be found", []),  # of the SuperLink, which may have lost the reply
    ("", []),
]


@pytest.mark.parametrize(("error", "without"), ANSWERS)
def test_a_site_that_replies_with_an_error_has_sent_no_update(error: str | None, without: list[str]) -> None:
    grid = Counted(lambda _: ["m1"], lambda _: [reply("m1", error)], Clusters())
    grid.push_messages([message(1)])
    for _ in range(2):  # the second reply to a message is nobody's
        grid.pull_messages(["m1"])
    assert told() == [(["cluster1"], []), *([([], without)] if without else [])]


def test_a_message_that_is_not_accepted_does_not_count() -> None:
    Counted(lambda _: ["", "m2"], list, Clusters()).push_messages([message(1), message(2)])
    assert told() == [(["cluster1", "cluster2"], []), ([], ["cluster1"])]


@pytest.mark.parametrize(
    ("spent", "sent"),
    [
        (None, [True, True, True]),
        ({"earlier": {"cluster1": 1}, "lost": 0}, [True, True, False]),
        ({"earlier": {"cluster1": 1}, "lost": 1}, [False, True, False]),
        ({"earlier": {}, "lost": 2}, [False, False, False]),
    ],
)
def test_a_site_is_asked_for_no_more_than_is_allowed(tmp_path: Path, spent: dict[str, Any] | None, sent: list[bool]) -> None:
    if spent is not None:
        (tmp_path / SPENT).write_text(json.dumps(spent))
    passed: list[int] = []

    def push(messages: list[Any]) -> list[str]:
        passed.extend(m.metadata.dst_node_id for m in messages)
        return [f"a{m.metadata.dst_node_id}" for m in messages]

    grid = Counted(push, list, Clusters(), most=2)
    ids = grid.push_messages([message(1), message(2), message(1), message(1, "evaluate")])
    assert [not i.startswith(UNSENT) for i in ids] == [*sent, True]
    nodes = [node for node, may in zip((1, 2, 1), sent, strict=True) if may]
    assert passed == [*nodes, 1]
    assert told() == ([([f"cluster{node}" for node in nodes], [])] if nodes else [])
    named = [each.message.partition(":")[0] for each in read_records() if isinstance(each, Notice)]
    assert named == ([] if all(sent) else ["cluster1, cluster2"] if not any(sent) else ["cluster1"])


def test_what_was_asked_for_before_a_restart_counts() -> None:
    Counted(lambda messages: ["m"] * len(messages), list, Clusters(), most=2).push_messages([message(1), message(1), message(2)])
    again = Counted(lambda messages: ["n"] * len(messages), list, Clusters(), most=2)
    first, second = again.push_messages([message(1), message(2)])
    assert (first.startswith(UNSENT), second) == (True, "n")
