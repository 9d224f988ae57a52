"""What a SuperNode of Flower sends, read from its requests to the Fleet API.

A reply is announced by `push-messages`, with the tree of its objects, and its objects follow by `push-object`, several in one request if
their names are joined by commas (`panal.pod.tools.flower.batches`). The name of an object is the SHA-256 of its content, and an object
names those below it, so that the digest of a reply, the name of its root, is that of everything in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from panal.site.wire import NotProtobufError, messages, texts

PREFIX = "/v1/fleet/"
REPLY, OBJECT = f"{PREFIX}push-messages", f"{PREFIX}push-object"
WITHOUT_DATA = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("register-node", "activate-node", "deactivate-node", "unregister-node", "send-node-heartbeat"),
        *("pull-messages", "get-run", "get-fab", "pull-object", "confirm-message-received"),
    )
)
LARGEST_WITHOUT_DATA = 64 << 10  # bytes of a request that carries nothing of the site; a request for many objects names them
MESSAGES, TREES, METADATA, ERROR = 2, 3, 1, 3  # numbers of fields of PushMessagesRequest and Message
ANSWERED, GROUP, TYPE = 5, 6, 8  # of Metadata
OBJECT_ID, CHILDREN, CONTENT = 3, 2, 4  # of PushObjectRequest, ObjectTree, PushObjectRequest
ROOT = 1  # of ObjectTree
DEEPEST = 64


class NotFlowerError(ValueError):
    """The request is none of a SuperNode, or its content is not what it says."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`digest`: the name of its root object; empty if it has none. `objects`: the names in its tree. `request`: the SHA-256 of the request
    that announced it."""

    type: str
    round: str
    digest: str
    objects: frozenset[str] = field(repr=False)
    error: bool
    request: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """Stays the same when it is announced again."""
        return self.digest or self.request


@dataclass(frozen=True, slots=True)
class Sent:
    """What one request carries out of the site."""

    replies: tuple[Reply, ...] = ()
    objects: tuple[str, ...] = ()


NOTHING = Sent()


def read(path: str, body: bytes) -> Sent:
    """`path` without its query. Raises NotFlowerError."""
    try:
        if path == REPLY:
            return Sent(replies=tuple(_replies(body)))
        if path == OBJECT:
            return Sent(objects=tuple(_objects(body)))
    except NotProtobufError as error:
        raise NotFlowerError(f"{path}: {error}") from error
    if path not in WITHOUT_DATA:
        raise NotFlowerError("a path that no SuperNode asks for")
    if len(body) > LARGEST_WITHOUT_DATA:
        raise NotFlowerError(f"{path} with {len(body)} bytes")
    return NOTHING


def _replies(body: bytes) -> list[Reply]:
    found, trees = messages(body, MESSAGES), messages(body, TREES)
    if len(found) != 1 or len(trees) > 1:
        raise NotFlowerError("not one reply with one tree")
    message, names = found[0], _names(trees[0]) if trees else []
    metadata = messages(message, METADATA)
    if len(metadata) != 1:
        raise NotFlowerError("a message without metadata")
    error = bool(messages(message, ERROR))
    type_, round_ = (texts(metadata[0], number) or [""] for number in (TYPE, GROUP))
    return [Reply(type_[-1], round_[-1], names[0] if names else "", frozenset(names), error, hashlib.sha256(body).hexdigest())]


def _names(tree: bytes, depth: int = 0) -> list[str]:
    """The names of a tree, its root first."""
    if depth > DEEPEST:
        raise NotFlowerError("a tree that is too deep")
    root = texts(tree, ROOT)
    if len(root) != 1:
        raise NotFlowerError("an object without a name")
    return [root[0], *(name for child in messages(tree, CHILDREN) for name in _names(child, depth + 1))]


def _objects(body: bytes) -> list[str]:
    names, contents = texts(body, OBJECT_ID), messages(body, CONTENT)
    if len(names) != 1 or len(contents) > 1:
        raise NotFlowerError("not one object")
    content = contents[0] if contents else b""
    wanted = list(dict.fromkeys(names[0].removesuffix(",").split(","))) if "," in names[0] else names
    pieces = _unpacked(content) if "," in names[0] else [content]
    if len(pieces) > len(wanted) or any(hashlib.sha256(piece).hexdigest() != name for name, piece in zip(wanted, pieces)):
        raise NotFlowerError("an object that is not the one that it says")
    return wanted[: len(pieces)]


def _unpacked(content: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(content):
        start = at + 4
        at = start + int.from_bytes(content[at:start], "big")
        if at > len(content):
            raise NotFlowerError("a batch that is shorter than it says")
        found.append(content[start:at])
    return found
