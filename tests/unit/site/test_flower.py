"""What a SuperNode's requests carry. tests/flower compares with Flower's own messages."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panal.site.flower import NotFlowerError, Reply, Sent, read
from panal.site.wire import NotProtobufError, fields


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def piece(number: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


METADATA = b"\x08\x07" + piece(6, "3") + piece(8, "train")
TOP, LEFT, LEAF, RIGHT = (letter * 64 for letter in "abcd")
TREE = piece(1, TOP) + piece(2, piece(1, LEFT) + piece(2, piece(1, LEAF))) + piece(2, piece(1, RIGHT))
REPLY = piece(2, piece(1, METADATA) + piece(2, b"")) + piece(3, TREE)
PUSH, OBJECT = "/v1/fleet/push-messages", "/v1/fleet/push-object"


def test_a_reply_has_type_round_and_the_names_of_its_objects() -> None:
    assert read(PUSH, REPLY) == Sent((Reply("train", "3", TOP, frozenset({TOP, LEFT, LEAF, RIGHT}), error=False),))


def test_an_error_has_no_objects() -> None:
    found = read(PUSH, piece(2, piece(1, METADATA) + piece(3, b"\x08\x03" + piece(2, "why"))))
    assert found.replies == (Reply("train", "3", "", frozenset(), error=True, text="why"),)


def objects(*contents: bytes, names: list[str] | None = None) -> bytes:
    if names is None:
        names = [hashlib.sha256(each).hexdigest() for each in contents]
    if len(contents) == 1:
        return piece(3, names[0]) + piece(4, contents[0])
    packed = b"".join(len(each).to_bytes(4, "big") + each for each in contents)
    return piece(3, "".join(f"{name}," for name in names)) + piece(4, packed)


def test_the_name_of_an_object_is_the_digest_of_its_content() -> None:
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    assert read(OBJECT, objects(b"one")).objects == (one,)
    assert read(OBJECT, objects(b"one", b"two")).objects == (one, two)
    for wrong in (
        objects(b"one", b"two", names=[one, two, "e" * 64]),
        objects(b"one", names=["a name that says something"]),
        objects(b"one") + piece(6, b"more"),
        objects(b"one") + objects(b"one"),
        piece(3, "".join(f"{one}," for _ in range(257))),
        objects(b"one", names=[two]),
        objects(b"one", b"three", names=[one, two]),
        objects(b"one", b"two", names=[one]),
    ):
        with pytest.raises(NotFlowerError):
            read(OBJECT, wrong)


@pytest.mark.parametrize("path", ["/v1/fleet/other", "/v1/control/get-run", "", "/v1/fleet/push-object/../x"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(NotFlowerError):
        read(path, b"")


def test_requests_that_carry_nothing_are_small() -> None:
    assert read("/v1/fleet/pull-messages", b"x" * 100) == Sent()
    with pytest.raises(NotFlowerError):
        read("/v1/fleet/send-node-heartbeat", bytes(65 << 10))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        REPLY + REPLY,
        piece(2, b""),
        REPLY[:-1],
        b"\xff" * 12,
        piece(2, piece(1, METADATA)) + piece(3, b""),
        REPLY + piece(5, b"more"),
        piece(2, piece(1, METADATA) + piece(2, b"content")) + piece(3, TREE),
        piece(2, piece(1, METADATA + piece(12, b"more"))) + piece(3, TREE),
        piece(2, piece(1, METADATA + piece(6, "x" * 201))) + piece(3, TREE),
        piece(2, piece(1, METADATA)) + piece(3, TREE + piece(3, b"more")),
        piece(2, piece(1, METADATA)) + piece(3, piece(1, "no digest")),
        piece(2, piece(1, METADATA + piece(2, "no digest"))) + piece(3, TREE),
        piece(2, piece(1, METADATA) + piece(3, piece(2, "x" * 5000))),
    ],
)
def test_a_reply_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(NotFlowerError):
        read(PUSH, body)


def test_a_tree_of_any_depth_ends() -> None:
    tree = b""
    for _ in range(5000):
        tree = piece(1, TOP) + piece(2, tree)
    with pytest.raises(NotFlowerError):
        read(PUSH, piece(2, piece(1, METADATA)) + piece(3, tree))


@settings(deadline=None)  # a busy machine
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    for path in (PUSH, OBJECT):
        with suppress(NotFlowerError):
            read(path, body)
    with suppress(NotProtobufError):
        list(fields(memoryview(body)))
