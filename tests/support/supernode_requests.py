"""Requests of a SuperNode of Flower, as a site controller is asked about them."""

from __future__ import annotations

import hashlib

PUSH, OBJECT, HEARTBEAT = (f"/v1/fleet/{name}" for name in ("push-messages", "push-object", "send-node-heartbeat"))


def piece(number: int, content: bytes | str) -> bytes:
    """A field of Protocol Buffers."""
    content = content.encode() if isinstance(content, str) else content
    length, size = len(content), b""
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def reply(round_: str, *objects: bytes, type_: str = "train", error: bool = False) -> bytes:
    """The announcement of a reply with these objects, the first of which is its root."""
    root, *others = (hashlib.sha256(each).hexdigest() for each in objects)
    tree = piece(1, root) + b"".join(piece(2, piece(1, each)) for each in others)
    message = piece(1, piece(6, round_) + piece(8, type_)) + (piece(3, piece(2, "it failed")) if error else b"")
    return piece(2, message) + piece(3, tree)


def pushes(content: bytes) -> bytes:
    return piece(3, hashlib.sha256(content).hexdigest()) + piece(4, content)
