"""What a SuperNode of Flower sends, read from its requests to the Fleet API.

A reply is announced by `push-messages`, with the tree of its objects, and its objects follow by `push-object`, several in one request if
their names are joined by commas (`panal.pod.tools.flower.batches`). The name of an object is the SHA-256 of its content, so that the
announcement, whose SHA-256 is recorded, names everything of the reply. A request with anything that a SuperNode does not send is refused,
since it could carry what is not read.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from panal.site.wire import Kinds, NotProtobufError, known

PREFIX = "/v1/fleet/"
REPLY, OBJECT = f"{PREFIX}push-messages", f"{PREFIX}push-object"
LARGEST_REPLY = 8 << 20  # bytes of an announcement
MOST_NAMES = 256  # of objects in a batch
MOST_OBJECTS = 1 << 16  # of a reply
DEEPEST = 16  # levels of a tree
LONGEST_TEXT = 200  # characters of a type and of a round
LONGEST_ERROR = 4096  # bytes
LARGEST_ERROR = 8 << 10  # bytes of the object of a reply that is an error: the text, and the metadata
NAME = re.compile(rb"[0-9a-f]{64}")

# Requests that carry nothing of the data: what they may have, by its field. They name the node, and what is fetched.
_NODE = {1: int}
_WITHOUT_DATA: dict[str, int] = {  # the most bytes that each may have
    "register-node": 4096,  # the public key of the node
    "activate-node": 4096,
    "deactivate-node": 1024,
    "unregister-node": 1024,
    "send-node-heartbeat": 1024,
    "pull-messages": 4096,
    "get-run": 1024,
    "get-fab": 4096,
    "pull-object": 32 << 10,  # it names up to MOST_NAMES objects
    "confirm-message-received": 1024,
}
WITHOUT_DATA = {f"{PREFIX}{name}": size for name, size in _WITHOUT_DATA.items()}

_PUSH: Kinds = {1: memoryview, 2: memoryview, 3: memoryview, 4: memoryview}  # node, message, tree, seconds
_MESSAGE: Kinds = {1: memoryview, 2: memoryview, 3: memoryview}  # metadata, content, error
_METADATA: Kinds = {
    **dict.fromkeys((1, 3, 4, 7, 9, 10, 11), int),  # of run, nodes, tasks, and times
    **dict.fromkeys((2, 5, 6, 8), memoryview),  # of messages, group and type
}
_ERROR: Kinds = {1: int, 2: memoryview}
_TREE: Kinds = {1: memoryview, 2: memoryview}  # name, children
_PUSH_OBJECT: Kinds = {1: memoryview, 2: int, 3: memoryview, 4: memoryview, 5: memoryview}  # node, run, names, content, session
NODE, MESSAGES, TREES, SECONDS = 1, 2, 3, 4
METADATA, CONTENT, ERROR = 1, 2, 3
MESSAGE_ID, ANSWERED, GROUP, TYPE = 2, 5, 6, 8
ROOT, CHILDREN = 1, 2
OBJECT_ID, OBJECT_CONTENT, SESSION = 3, 4, 5
REASON = 2


class NotFlowerError(ValueError):
    """The request is none of a SuperNode, or its content is not what it says."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`digest`: the name of its root object; empty if it has none. `objects`: the names in its tree. `request`: the SHA-256 of the request
    that announced it. `text`: of an error."""

    type: str
    round: str
    digest: str
    objects: frozenset[str] = field(repr=False)
    error: bool
    request: str = field(default="", compare=False)
    text: str = ""

    @property
    def name(self) -> str:
        """Stays the same when it is announced again."""
        return self.request

    @property
    def bare_error(self) -> bool:
        """Whether it has its text alone: one object without others below it. The rest of an error would be content."""
        return self.error and len(self.objects) <= 1


@dataclass(frozen=True, slots=True)
class Sent:
    """What one request carries out of the site. `sizes`: of the objects, in bytes."""

    replies: tuple[Reply, ...] = ()
    objects: tuple[str, ...] = ()
    sizes: tuple[int, ...] = field(default=(), compare=False)


NOTHING = Sent()


def read(path: str, body: bytes) -> Sent:
    """`path` without its query. Raises NotFlowerError."""
    try:
        if path == REPLY:
            return Sent(replies=(_reply(body),))
        if path == OBJECT:
            found = _objects(memoryview(body))
            return Sent(objects=tuple(name for name, _ in found), sizes=tuple(size for _, size in found))
    except NotProtobufError as error:
        raise NotFlowerError(f"{path}: {error}") from error
    if path not in WITHOUT_DATA:
        raise NotFlowerError("a path that no SuperNode asks for")
    if len(body) > WITHOUT_DATA[path]:
        raise NotFlowerError(f"{path} with {len(body)} bytes")
    return NOTHING


def _reply(body: bytes) -> Reply:
    if len(body) > LARGEST_REPLY:
        raise NotFlowerError(f"an announcement of {len(body)} bytes")
    push = known(memoryview(body), _PUSH)
    message = known(_one(push, MESSAGES), _MESSAGE)
    _node(push)
    if len(_one(push, SECONDS, required=False)) > 8:
        raise NotFlowerError("more seconds than replies")
    if len(_one(message, CONTENT, required=False)):
        raise NotFlowerError("content that is not in objects")
    metadata = known(_one(message, METADATA), _METADATA)
    for number in (MESSAGE_ID, ANSWERED):
        if named := bytes(_one(metadata, number, required=False)):
            _name(named)
    names = _names(_one(push, TREES)) if TREES in push else []
    error = known(_one(message, ERROR), _ERROR) if ERROR in message else None
    reason = bytes(_one(error, REASON, required=False)) if error else b""
    if len(reason) > LONGEST_ERROR:
        raise NotFlowerError("a long text of an error")
    return Reply(
        type=_text(metadata, TYPE),
        round=_text(metadata, GROUP),
        digest=names[0] if names else "",
        objects=frozenset(names),
        error=error is not None,
        request=hashlib.sha256(body).hexdigest(),
        text=reason.decode(errors="replace"),
    )


def _one(found: dict[int, list[Any]], number: int, *, required: bool = True) -> memoryview:
    if number not in found:
        if required:
            raise NotFlowerError(f"no field {number}")
        return memoryview(b"")
    value: memoryview = found[number][0]
    return value


def _node(found: dict[int, list[Any]]) -> None:
    known(_one(found, NODE, required=False), _NODE)


def _text(metadata: dict[int, list[Any]], number: int) -> str:
    try:
        text = bytes(_one(metadata, number, required=False)).decode()
    except UnicodeDecodeError as error:
        raise NotFlowerError("a text that is not UTF-8") from error
    if len(text) > LONGEST_TEXT:
        raise NotFlowerError("a long text in its metadata")
    return text


def _name(text: bytes) -> str:
    if not NAME.fullmatch(text):
        raise NotFlowerError("a name that is no SHA-256")
    return text.decode()


def _names(tree: memoryview) -> list[str]:
    """The names of a tree, its root first."""
    found: list[str] = []
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST or len(found) >= MOST_OBJECTS:
            raise NotFlowerError("a tree that is too deep or too large")
        parts = known(node, _TREE, frozenset({CHILDREN}))
        found.append(_name(bytes(_one(parts, ROOT))))
        waiting += [(child, depth + 1) for child in parts.get(CHILDREN, ()) if isinstance(child, memoryview)]
    return found


def _objects(body: memoryview) -> list[tuple[str, int]]:
    """Their names and sizes."""
    push = known(body, _PUSH_OBJECT)
    _node(push)
    if len(_one(push, SESSION, required=False)) > LONGEST_TEXT:
        raise NotFlowerError("a long name of a session")
    named, content = bytes(_one(push, OBJECT_ID)), _one(push, OBJECT_CONTENT, required=False)
    batch = b"," in named
    if len(named) > MOST_NAMES * 65:
        raise NotFlowerError("more objects than a batch may have")
    wanted = [_name(each) for each in (named.removesuffix(b",").split(b",") if batch else [named])]
    pieces = _unpacked(content) if batch else [content]
    if len(pieces) != len(wanted) or any(hashlib.sha256(piece).hexdigest() != name for name, piece in zip(wanted, pieces)):
        raise NotFlowerError("an object that is not the one that it says")
    return [(name, len(piece)) for name, piece in zip(wanted, pieces)]


def _unpacked(content: memoryview) -> list[memoryview]:
    found: list[memoryview] = []
    at = 0
    while at < len(content):
        if len(found) >= MOST_NAMES:
            raise NotFlowerError("more objects than a batch may have")
        start = at + 4
        at = start + int.from_bytes(content[at:start], "big")
        if at > len(content):
            raise NotFlowerError("a batch that is shorter than it says")
        found.append(content[start:at])
    return found
