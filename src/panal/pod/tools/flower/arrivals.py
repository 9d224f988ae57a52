"""The instructions that nodes have received, and their replies while they arrive. Pure except for the clock.

A reply arrives in parts: the announcement, a tree of objects named by their SHA-256 with the message as its root, then each object. It is
kept separate from all other messages until it is complete, so that a missing object does not block another node's reply with the same
object. A stalled reply is given up, which frees its memory.
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
from .spool import Spool, Stored

Tree = dict[str, tuple[str, ...]]  # an object's name -> the names of its children

# A reply is stalled after SHARE of the time that the node has worked, at least SHORTEST and at most LONGEST seconds.
SHORTEST, LONGEST, SHARE = 8.0, 60.0, 0.25
ROOM, TIMES = 256 << 20, 4  # a reply may have ROOM bytes, or TIMES the bytes of the instruction if that is more,
MORE = 1 << 20  # and these for its metrics: masked numbers have four times the bytes of float16
OBJECTS = 50_000  # a reply may have OBJECTS objects, or TIMES the objects of the instruction if that is more
HANDED_OUT = 5  # deliveries of an instruction at most
REMEMBERED = 8  # answered instructions that are kept for each node, to recognize repeated requests
DEEPEST = 5  # levels of a tree: message, records, record, array, chunk
_NAME = re.compile(r"[0-9a-f]{64}")


class BadReplyError(Exception):
    """The reply is refused. `reason` is a code for the run's status."""

    def __init__(self, reason: Refused, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(eq=False)
class Instruction:
    """A message that a node received. `message` and `tree` are Flower's protobuf messages; `objects` are the names in the tree."""

    name: str
    node: int
    run: int
    objects: frozenset[str]
    message: Any
    tree: Any
    handed: float
    times: int = 1  # deliveries
    confirmed: bool = False
    answered: bool = False
    pulled: dict[str, int] = field(default_factory=dict)  # bytes of each object that the node has fetched
    reply: Reply | None = None
    delivered: str = ""  # the root of the reply, once it is complete
    session: str = ""  # and its upload session


@dataclass(eq=False)
class Reply:
    instruction: Instruction
    root: str
    tree: Tree
    request: Any  # the announcement, Flower's PushMessagesRequest
    error: bool
    patience: float
    heard: float  # when its last bytes arrived
    largest: int
    session: str = field(default_factory=lambda: str(uuid4()))
    contents: dict[str, Stored] = field(default_factory=dict)
    spool: Spool = field(default_factory=Spool)
    size: int = 0

    def is_replaced_by(self, root: str, error: bool) -> bool:
        """Whether an error reply replaces this one: the client app died before it delivered all of its reply."""
        return error and not self.error and root != self.root

    def missing(self) -> list[str]:
        return [name for name in self.tree if name not in self.contents]


class Arrivals:
    """`largest` is the maximum size of a reply in bytes (spec.server.replies.maxSize); 0 selects the default (ROOM, TIMES)."""

    def __init__(self, largest: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._largest = largest
        self._clock = clock
        self._lock = threading.RLock()
        self._nodes: dict[int, dict[str, Instruction]] = {}

    # From the SuperLink to the node:

    def hand_out(self, node: int, name: str, run: int, objects: Iterable[str], message: Any, tree: Any) -> None:
        with self._lock:
            known = self._nodes.setdefault(node, {})
            known[name] = Instruction(name, node, run, frozenset(objects), message, tree, self._clock())
            for old in [n for n, i in known.items() if i.answered][:-REMEMBERED]:
                del known[old]

    def unconfirmed(self, node: int) -> Instruction | None:
        """An instruction that the node has not confirmed. A node that asks for messages has none, so the instruction was lost."""
        with self._lock:
            for instruction in self._nodes.get(node, {}).values():
                if not instruction.confirmed and not instruction.answered and instruction.times < HANDED_OUT:
                    instruction.times += 1
                    return instruction
            return None

    def instruction_of(self, node: int, run: int, name: str) -> Instruction | None:
        """The node's instruction that contains the object `name`."""
        with self._lock:
            return next((i for i in self._nodes.get(node, {}).values() if i.run == run and name in i.objects), None)

    def confirm(self, node: int, run: int, name: str) -> bool:
        """Marks an instruction as received. False if the node has no such instruction."""
        with self._lock:
            found = self._nodes.get(node, {}).get(name)
            if found is None or found.run != run:
                return False
            found.confirmed = True
            return True

    # From the node to the SuperLink:

    def announce(self, node: int, name: str, root: str, tree: Tree, request: Any, error: bool = False) -> Reply | None:
        """The announced reply to the instruction `name`, new or known; None if the instruction is answered. Raises RefusedError if the node
        has no such instruction, and BadReplyError if it announced another reply before."""
        with self._lock:
            instruction = self._nodes.get(node, {}).get(name)
            if instruction is None:
                raise RefusedError("ForeignMessage", f"node {node} replies to a message that it was not handed")
            if instruction.answered:
                return None
            instruction.confirmed = True
            if instruction.reply is None or instruction.reply.is_replaced_by(root, error):
                self._give_up_others(node)
                now = self._clock()
                patience = min(LONGEST, max(SHORTEST, SHARE * (now - instruction.handed)))
                largest = self._largest or max(ROOM, TIMES * sum(instruction.pulled.values()) + MORE)
                instruction.reply = Reply(instruction, root, tree, request, error, patience, now, largest)
            if instruction.reply.root != root:
                raise BadReplyError(Refused.REPLY_INVALID, "it announced two replies to one message")
            return instruction.reply

    def _give_up_others(self, node: int) -> None:
        """A node sends one reply at a time. Frees the memory of its unfinished replies and marks them as stalled."""
        for instruction in self._nodes[node].values():
            if instruction.reply is not None:
                instruction.reply.contents.clear()
                instruction.reply.spool = Spool()
                instruction.reply.patience = -1.0

    def announced(self, node: int, run: int, session: str) -> Reply | None:
        """The node's reply with this upload session."""
        with self._lock:
            replies = [i.reply for i in self._nodes.get(node, {}).values() if i.reply is not None and i.run == run]
            return next((reply for reply in replies if reply.session == session), None)

    def put(self, reply: Reply, name: str, content: bytes, children: tuple[str, ...]) -> bool:
        """Adds an object; True if the reply is complete. Raises BadReplyError for an object that was not announced."""
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
            reply.size += len(content)
        stored = reply.spool.add(content)  # writes to a file
        with self._lock:
            if name in reply.contents:  # the node has sent it twice at the same time
                reply.size -= len(content)
                return False
            reply.contents[name] = stored
            reply.heard = self._clock()
            return len(reply.contents) == len(reply.tree)

    def heard(self, node: int) -> None:
        """Notes that bytes from this node have arrived."""
        with self._lock:
            for instruction in self._nodes.get(node, {}).values():
                if instruction.reply is not None:
                    instruction.reply.heard = self._clock()

    # The end of an instruction:

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
        """Marks an instruction as answered and drops its partial reply. False if it was answered before."""
        with self._lock:
            first, instruction.answered, instruction.reply = not instruction.answered, True, None
            return first

    def deliver(self, reply: Reply) -> None:
        """Closes the instruction of a complete reply."""
        with self._lock:
            reply.instruction.delivered, reply.instruction.session = reply.root, reply.session
            self.close(reply.instruction)

    def is_complete(self, node: int, run: int, session: str) -> bool:
        """Whether the node's reply with this upload session was complete: its last object may come again after a lost response."""
        with self._lock:
            return any(i.run == run and i.session == session for i in self._nodes.get(node, {}).values() if i.session)

    def give_up(self, names: Iterable[str]) -> list[str]:
        """Marks instructions as answered: what their nodes send from now on is dropped. Returns the roots of replies that were complete."""
        with self._lock:
            wanted = set(names)
            found = [known[name] for known in self._nodes.values() for name in wanted & known.keys()]
            for instruction in found:
                instruction.answered, instruction.reply = True, None
            return [each.delivered for each in found if each.delivered]

    def drop(self, node: int) -> None:
        """Forgets a node that has left."""
        with self._lock:
            self._nodes.pop(node, None)


def read_tree(root: Any) -> Tree:
    """Reads Flower's ObjectTree. Raises BadReplyError if a name is invalid or has two sets of children, or if the tree is too deep."""
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
