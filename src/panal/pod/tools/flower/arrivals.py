"""Instructions that nodes were handed, and their replies as they arrive (pure but for the clock).

A reply arrives in pieces: first its announcement, a tree of objects named by their SHA-256 whose root is the message, then the objects
one by one. Until all of it is here it is kept apart from every other message. So no other node waits for it, and an object that never
comes blocks no name that another message needs. A reply that gets nowhere is given up, and its memory is free again.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from ..codes import Refused
from .bindings import RefusedError

Tree = dict[str, tuple[str, ...]]  # an object's name -> the names of its children

SHORTEST, LONGEST = 8.0, 60.0  # seconds that a reply may stand still, and between them a share of the time that the node has worked
SHARE = 0.25
ROOM, TIMES = 256 << 20, 4  # bytes of a reply: at least so many, or so many times as many as the instruction has
OBJECTS = 50_000  # that a reply unfolds to: at least so many, or TIMES as many as the instruction has
HANDED_OUT = 5  # times at most; a node that cannot fetch a message by then does not answer it
REMEMBERED = 8  # answered instructions of a node, for what is sent twice
DEEPEST = 5  # message, records, record, array, chunk
_NAME = re.compile(r"[0-9a-f]{64}")


class BadReplyError(Exception):
    """The reply is not usable. `reason` is a code for the run's status, the message a sentence."""

    def __init__(self, reason: Refused, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(eq=False)
class Instruction:
    """`message` and `tree` are what the node was handed, in Flower's own form; `objects` are the names in the tree."""

    name: str
    node: int
    run: int
    objects: frozenset[str]
    message: Any
    tree: Any
    handed: float
    times: int = 1  # that it was handed out
    confirmed: bool = False
    answered: bool = False
    pulled: dict[str, int] = field(default_factory=dict)  # bytes of each object that the node has fetched
    reply: Reply | None = None


@dataclass(eq=False)
class Reply:
    instruction: Instruction
    root: str
    tree: Tree
    request: Any  # the announcement in Flower's own form
    error: bool
    patience: float
    heard: float  # when its last byte came
    largest: int
    session: str = field(default_factory=lambda: str(uuid4()))
    contents: dict[str, bytes] = field(default_factory=dict)
    size: int = 0

    def gives_way(self, root: str, error: bool) -> bool:
        """To an error in its place: at the site the app has died before it had handed over all of its reply."""
        return error and not self.error and root != self.root

    def missing(self) -> list[str]:
        return [name for name in self.tree if name not in self.contents]


class Arrivals:
    """`largest` is the most bytes of a reply; 0: ROOM, or TIMES its instruction."""

    def __init__(self, largest: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._largest = largest
        self._clock = clock
        self._lock = threading.RLock()
        self._nodes: dict[int, dict[str, Instruction]] = {}

    # What the node gets.

    def hand_out(self, node: int, name: str, run: int, objects: Iterable[str], message: Any, tree: Any) -> None:
        with self._lock:
            known = self._nodes.setdefault(node, {})
            known[name] = Instruction(name, node, run, frozenset(objects), message, tree, self._clock())
            for old in [n for n, i in known.items() if i.answered][:-REMEMBERED]:
                del known[old]

    def again(self, node: int) -> Instruction | None:
        """An instruction that the node was handed and has not confirmed: a node that asks for work has none, so it never arrived."""
        with self._lock:
            for instruction in self._nodes.get(node, {}).values():
                if not instruction.confirmed and not instruction.answered and instruction.times < HANDED_OUT:
                    instruction.times += 1
                    return instruction
            return None

    def pulls(self, node: int, run: int, name: str) -> Instruction | None:
        """The instruction of this node that the object `name` belongs to."""
        with self._lock:
            return next((i for i in self._nodes.get(node, {}).values() if i.run == run and name in i.objects), None)

    def confirm(self, node: int, run: int, name: str) -> bool:
        """False if this is no instruction of the node's."""
        with self._lock:
            found = self._nodes.get(node, {}).get(name)
            if found is None or found.run != run:
                return False
            found.confirmed = True
            return True

    # What the node sends.

    def announce(self, node: int, name: str, root: str, tree: Tree, request: Any, error: bool = False) -> Reply | None:
        """The reply to the instruction `name`, also when it is announced again; None if the instruction has been answered. Raises
        RefusedError if the node was not handed this instruction, BadReplyError if it announces another reply than before."""
        with self._lock:
            instruction = self._nodes.get(node, {}).get(name)
            if instruction is None:
                raise RefusedError("ForeignMessage", f"node {node} replies to a message that it was not handed")
            if instruction.answered:
                return None
            instruction.confirmed = True
            if instruction.reply is None or instruction.reply.gives_way(root, error):
                self._give_up_others(node)
                now = self._clock()
                patience = min(LONGEST, max(SHORTEST, SHARE * (now - instruction.handed)))
                largest = self._largest or max(ROOM, TIMES * sum(instruction.pulled.values()))
                instruction.reply = Reply(instruction, root, tree, request, error, patience, now, largest)
            if instruction.reply.root != root:
                raise BadReplyError(Refused.REPLY_INVALID, "it announced two replies to one message")
            return instruction.reply

    def _give_up_others(self, node: int) -> None:
        """A node sends one reply at a time: what it has left unfinished holds no memory, and has stood still for long enough."""
        for instruction in self._nodes[node].values():
            if instruction.reply is not None:
                instruction.reply.contents.clear()
                instruction.reply.patience = -1.0

    def announced(self, node: int, run: int, session: str) -> Reply | None:
        """The reply of this node that its objects are sent for."""
        with self._lock:
            replies = [i.reply for i in self._nodes.get(node, {}).values() if i.reply is not None and i.run == run]
            return next((reply for reply in replies if reply.session == session), None)

    def put(self, reply: Reply, name: str, content: bytes, children: tuple[str, ...]) -> bool:
        """Takes in an object; True if that was the last of the reply. Raises BadReplyError for one that was not announced."""
        genuine = hashlib.sha256(content).hexdigest() == name
        with self._lock:
            if name not in reply.tree or not genuine or set(children) != set(reply.tree[name]):
                raise BadReplyError(Refused.REPLY_INVALID, "an object of it is not one that was announced")
            if name in reply.contents:
                return False
            if reply.size + len(content) > reply.largest:
                raise BadReplyError(
                    Refused.REPLY_TOO_LARGE, f"it has more than the {reply.largest} bytes that a reply of this run may have"
                )
            reply.contents[name] = content
            reply.size += len(content)
            reply.heard = self._clock()
            return len(reply.contents) == len(reply.tree)

    def heard(self, node: int) -> None:
        """Bytes of an object of this node's have come in."""
        with self._lock:
            for instruction in self._nodes.get(node, {}).values():
                if instruction.reply is not None:
                    instruction.reply.heard = self._clock()

    # How it ends.

    def open(self, node: int, name: str) -> Instruction | None:
        with self._lock:
            found = self._nodes.get(node, {}).get(name)
            return found if found is not None and not found.answered else None

    def stalled(self) -> list[Reply]:
        with self._lock:
            now = self._clock()
            replies = [i.reply for known in self._nodes.values() for i in known.values() if i.reply is not None]
            return [reply for reply in replies if now - reply.heard > reply.patience]

    def close(self, instruction: Instruction) -> bool:
        """It has been answered; what has arrived of its reply is let go. False if it had been answered before."""
        with self._lock:
            first, instruction.answered, instruction.reply = not instruction.answered, True, None
            return first

    def drop(self, node: int) -> None:
        """The node counts no more."""
        with self._lock:
            self._nodes.pop(node, None)


def read_tree(root: Any) -> Tree:
    """From Flower's ObjectTree. Raises BadReplyError if one name has two meanings, is none, or it is too deep."""
    tree: Tree = {}
    level = [root]
    for _ in range(DEEPEST):
        for each in level:
            children = tuple(dict.fromkeys(child.object_id for child in each.children))
            if not _NAME.fullmatch(each.object_id) or tree.setdefault(each.object_id, children) != children:
                raise BadReplyError(Refused.REPLY_INVALID, "its tree of objects is not one")
        level = [child for each in level for child in each.children]
    if level:
        raise BadReplyError(Refused.REPLY_INVALID, "its tree of objects is deeper than a message is")
    return tree
