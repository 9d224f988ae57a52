"""Replies as they arrive, without Flower: what a node may send, and when a reply is given up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest

from panal.pod.tools.flower.arrivals import HANDED_OUT, LONGEST, MORE, REMEMBERED, ROOM, SHORTEST, Arrivals, BadReplyError, Reply, read_tree
from panal.pod.tools.flower.bindings import RefusedError

NODE, OTHER, RUN = 11, 22, 7


def name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


ROOT, LEAF = b"root", b"leaf"
TREE = {name(ROOT): (name(LEAF),), name(LEAF): ()}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Node:
    """Flower's ObjectTree."""

    object_id: str
    children: list[Node] = field(default_factory=list)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arrivals(clock: Clock) -> Arrivals:
    made = Arrivals(clock=clock)
    made.hand_out(NODE, "asked", RUN, ["asked", "weights"], message=None, tree=None)
    return made


def announced(arrivals: Arrivals) -> Reply:
    reply = arrivals.announce(NODE, "asked", name(ROOT), TREE, request=None)
    assert reply is not None
    return reply


def test_a_reply_is_complete_with_its_last_object(arrivals: Arrivals) -> None:
    reply = announced(arrivals)
    assert set(reply.missing()) == set(TREE)
    assert arrivals.put(reply, name(LEAF), LEAF, ()) is False
    assert arrivals.put(reply, name(LEAF), LEAF, ()) is False  # sent again after a lost response
    assert reply.size == len(LEAF)
    assert arrivals.put(reply, name(ROOT), ROOT, (name(LEAF),)) is True
    assert arrivals.close(reply.instruction) is True
    assert arrivals.close(reply.instruction) is False
    assert arrivals.announce(NODE, "asked", name(ROOT), TREE, None) is None  # announced again after it was answered


def test_only_the_same_reply_can_be_announced_again(arrivals: Arrivals) -> None:
    reply = announced(arrivals)
    assert announced(arrivals) is reply
    with pytest.raises(BadReplyError, match="two replies"):
        arrivals.announce(NODE, "asked", "f" * 64, {"f" * 64: ()}, None)


def test_an_error_replaces_a_partial_reply(arrivals: Arrivals) -> None:
    """The client app died before it delivered all of its reply."""
    half = announced(arrivals)
    arrivals.put(half, name(LEAF), LEAF, ())
    error = arrivals.announce(NODE, "asked", name(b"error"), {name(b"error"): ()}, None, error=True)
    assert error is not None
    assert error.missing() == [name(b"error")]
    assert arrivals.announced(NODE, RUN, half.session) is None  # the rest is not accepted
    for root, is_error in ((name(ROOT), False), (name(b"another"), True)):
        with pytest.raises(BadReplyError, match="two replies"):
            arrivals.announce(NODE, "asked", root, {root: ()}, None, error=is_error)
    assert arrivals.put(error, name(b"error"), b"error", ()) is True


@pytest.mark.parametrize(("node", "asked"), [(OTHER, "asked"), (NODE, "another")])
def test_a_node_replies_only_to_its_own_messages(arrivals: Arrivals, node: int, asked: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        arrivals.announce(node, asked, name(ROOT), TREE, None)
    assert refusal.value.reason == "ForeignMessage"
    assert not arrivals.confirm(node, RUN, asked)


def test_a_session_belongs_to_a_node_and_a_run(arrivals: Arrivals) -> None:
    reply = announced(arrivals)
    assert arrivals.announced(NODE, RUN, reply.session) is reply
    assert arrivals.announced(OTHER, RUN, reply.session) is None
    assert arrivals.announced(NODE, RUN + 1, reply.session) is None
    assert arrivals.announced(NODE, RUN, "") is None


@pytest.mark.parametrize(
    ("which", "content", "children"),
    [
        (name(b"strange"), b"strange", ()),  # not announced
        (name(LEAF), b"not it", ()),
        (name(LEAF), LEAF, (name(ROOT),)),  # with other children
        (name(ROOT), ROOT, ()),
    ],
)
def test_an_object_that_was_not_announced_is_refused(arrivals: Arrivals, which: str, content: bytes, children: tuple[str, ...]) -> None:
    reply = announced(arrivals)
    with pytest.raises(BadReplyError) as bad:
        arrivals.put(reply, which, content, children)
    assert bad.value.reason == "ReplyInvalid"
    assert not reply.contents


def test_the_size_of_a_reply_is_limited_by_its_instruction(clock: Clock) -> None:
    arrivals = Arrivals(clock=clock)
    arrivals.hand_out(NODE, "asked", RUN, ["weights"], None, None)
    instruction = arrivals.instruction_of(NODE, RUN, "weights")
    assert instruction is not None
    instruction.pulled["weights"] = ROOM
    assert announced(arrivals).largest == 4 * ROOM + MORE
    small = Arrivals(largest=len(LEAF) - 1, clock=clock)
    small.hand_out(NODE, "asked", RUN, [], None, None)
    with pytest.raises(BadReplyError) as bad:
        small.put(announced(small), name(LEAF), LEAF, ())
    assert bad.value.reason == "ReplyTooLarge"


@pytest.mark.parametrize(("worked", "patience"), [(1.0, SHORTEST), (80.0, 20.0), (9999.0, LONGEST)])
def test_a_reply_is_stalled_after_a_share_of_the_working_time(arrivals: Arrivals, clock: Clock, worked: float, patience: float) -> None:
    clock.now += worked
    reply = announced(arrivals)
    clock.now += patience
    assert arrivals.stalled() == []
    arrivals.heard(NODE)  # bytes of an incomplete object
    clock.now += patience
    assert arrivals.stalled() == []
    clock.now += 0.1
    assert arrivals.stalled() == [reply]
    arrivals.close(reply.instruction)
    assert arrivals.stalled() == []
    assert arrivals.announced(NODE, RUN, reply.session) is None


def test_an_unconfirmed_message_is_delivered_again(arrivals: Arrivals) -> None:
    lost = arrivals.unconfirmed(NODE)
    assert lost is not None
    assert lost.name == "asked"
    assert arrivals.confirm(NODE, RUN, "asked")
    assert arrivals.unconfirmed(NODE) is None
    arrivals.hand_out(NODE, "unreachable", RUN, [], None, None)
    assert [bool(arrivals.unconfirmed(NODE)) for _ in range(HANDED_OUT)] == [True] * (HANDED_OUT - 1) + [False]


def test_a_node_fetches_only_its_own_objects(arrivals: Arrivals) -> None:
    assert arrivals.instruction_of(NODE, RUN, "weights") is not None
    assert arrivals.instruction_of(OTHER, RUN, "weights") is None
    assert arrivals.instruction_of(NODE, RUN + 1, "weights") is None
    assert arrivals.instruction_of(NODE, RUN, "other") is None


def test_a_dropped_node_leaves_nothing(arrivals: Arrivals, clock: Clock) -> None:
    reply = announced(arrivals)
    arrivals.drop(NODE)
    clock.now += 999
    assert arrivals.stalled() == []
    assert arrivals.announced(NODE, RUN, reply.session) is None
    assert arrivals.open(NODE, "asked") is None


def test_few_answered_messages_are_kept(arrivals: Arrivals) -> None:
    for number in range(3 * REMEMBERED):
        arrivals.hand_out(NODE, f"n{number}", RUN, [f"o{number}"], None, None)
        instruction = arrivals.open(NODE, f"n{number}")
        assert instruction is not None
        arrivals.close(instruction)
    kept = [number for number in range(3 * REMEMBERED) if arrivals.instruction_of(NODE, RUN, f"o{number}")]
    assert len(kept) == REMEMBERED + 1
    assert arrivals.open(NODE, "asked") is not None  # open instructions are kept


def test_a_tree_is_read_as_names_with_children() -> None:
    a, b, c = ("a" * 64, "b" * 64, "c" * 64)
    assert read_tree(Node(a, [Node(b, [Node(c)]), Node(c)])) == {a: (b, c), b: (c,), c: ()}


@pytest.mark.parametrize(
    "tree",
    [
        Node("x"),
        Node("A" * 64),
        Node("a" * 64, [Node("b" * 64, [Node("c" * 64)]), Node("b" * 64)]),  # one name, two sets of children
        Node("a" * 64, [Node("b" * 64, [Node("c" * 64, [Node("d" * 64, [Node("e" * 64, [Node("f" * 64)])])])])]),
    ],
)
def test_an_invalid_tree_is_refused(tree: Node) -> None:
    with pytest.raises(BadReplyError):
        read_tree(tree)


def test_a_node_sends_one_reply_at_a_time(arrivals: Arrivals) -> None:
    first = announced(arrivals)
    arrivals.put(first, name(LEAF), LEAF, ())
    arrivals.hand_out(NODE, "second", RUN, [], None, None)
    assert arrivals.announce(NODE, "second", name(ROOT), TREE, None) is not None
    assert arrivals.stalled() == [first]
    assert not first.contents


def test_what_a_node_sends_to_a_message_that_was_given_up_is_dropped(arrivals: Arrivals, clock: Clock) -> None:
    half = announced(arrivals)
    arrivals.put(half, name(LEAF), LEAF, ())
    assert arrivals.give_up(["asked", "never handed out"]) == []  # nothing of it was complete
    assert arrivals.announced(NODE, RUN, half.session) is None
    assert arrivals.announce(NODE, "asked", name(ROOT), TREE, None) is None  # the node takes it as sent
    assert arrivals.unconfirmed(NODE) is None
    clock.now += 1000
    assert arrivals.stalled() == []


def test_a_reply_that_was_complete_when_its_message_was_given_up_is_named(arrivals: Arrivals) -> None:
    reply = announced(arrivals)
    assert not arrivals.is_complete(NODE, RUN, reply.session)
    arrivals.deliver(reply)
    assert arrivals.is_complete(NODE, RUN, reply.session)  # for an object that comes again
    assert not arrivals.is_complete(OTHER, RUN, reply.session)
    assert not arrivals.is_complete(NODE, RUN, "")
    assert arrivals.give_up(["asked"]) == [name(ROOT)]
