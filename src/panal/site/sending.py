"""What a Pod with a SuperNode of Flower is sending: which replies it has announced, and which of their objects have followed.

A reply is over when all of its objects have passed. The aggregator does not ask for objects that it has already; so it is also over when
its root has passed, and then nothing for SETTLED. Requests are repeated, so that the objects of replies that are over still pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from panal.site.flower import LARGEST_ERROR, Reply, Sent

SETTLED = 5.0  # seconds
MOST_OPEN = 4  # replies
KEPT = 3  # replies that are over
LONGEST = 200  # characters of the round and the type in the ledger


class NotAnnouncedError(ValueError):
    """An object of no reply that the Pod has announced, or too many replies."""


class LostError(ValueError):
    """What is kept of a Pod cannot be read as far as its replies."""


@dataclass(slots=True)
class Open:
    """`bytes`: of the requests with it and its objects. `last`: the time of the latest, in seconds of any clock."""

    reply: Reply
    missing: set[str]
    bytes: int = 0
    last: float = 0.0

    @property
    def over(self) -> bool:
        return not self.missing

    @property
    def settled(self) -> bool:
        return self.over or self.reply.digest not in self.missing


@dataclass(slots=True)
class Sending:
    """`open` and `over` are by the name of the reply: the digest of the request that announced it."""

    open: dict[str, Open] = field(default_factory=dict)
    over: dict[str, frozenset[str]] = field(default_factory=dict)

    def check(self, sent: Sent) -> None:
        """Raises NotAnnouncedError."""
        known = [each.reply.objects for each in self.open.values()] + list(self.over.values())
        for name in sent.objects:
            if not any(name in objects for objects in known):
                raise NotAnnouncedError(f"the object {name[:64]} belongs to no reply that was announced")
        for name, size in zip(sent.objects, sent.sizes):
            of = [each for each in self.open.values() if name in each.missing]
            if size > LARGEST_ERROR and of and all(each.reply.bare_error for each in of):
                raise NotAnnouncedError(f"an error with an object of {size} bytes")
        if self.new(sent) and len(self.open) >= MOST_OPEN and not any(each.settled for each in self.open.values()):
            raise NotAnnouncedError(f"{MOST_OPEN} replies are under way already")

    def new(self, sent: Sent) -> list[Reply]:
        return [each for each in sent.replies if each.name not in self.open and each.name not in self.over]

    def accept(self, sent: Sent, size: int, now: float) -> int:
        """Takes a request of `size` bytes, which `check` has let pass. Returns how many of them belong to no open reply."""
        for reply in self.new(sent):
            self.open[reply.name] = Open(reply, set(reply.objects), size, now)
            size = 0
        for each in self.open.values():
            if not each.reply.objects.isdisjoint(sent.objects):
                each.missing.difference_update(sent.objects)
                each.bytes, each.last, size = each.bytes + size, now, 0
        return size

    def finished(self, now: float, *, announced: bool = False, ended: bool = False) -> list[Open]:
        """The replies that are over, and not `closed` yet. `announced`: another one is, for which there may be no room. `ended`: the Pod
        has, and with it replies that are not complete."""
        crowded = announced and len(self.open) >= MOST_OPEN
        return [each for each in self.open.values() if ended or each.over or (each.settled and (crowded or now - each.last >= SETTLED))]

    def closed(self, reply: Reply) -> None:
        """Its end is in the ledger."""
        del self.open[reply.name]
        self.over[reply.name] = reply.objects
        while len(self.over) > KEPT:
            del self.over[next(iter(self.over))]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.open.values())

    # --- kept beside the ledger, since the process may end at any moment ------------------------------------------
    def lines(self) -> Iterator[str]:
        """As JSON lines. After them, one line of `pushed` for each further request for objects of open replies."""
        for name, objects in self.over.items():
            yield json.dumps({"over": name, "objects": sorted(objects)})
        for each in self.open.values():
            reply = each.reply
            about = {
                "type": reply.type,
                "round": reply.round,
                "digest": reply.digest,
                "error": reply.error,
                "request": reply.request,
                "text": reply.text,
            }
            yield json.dumps({"open": about, "objects": sorted(reply.objects), "missing": sorted(each.missing), "bytes": each.bytes})


def pushed(objects: Iterable[str], size: int) -> str:
    return json.dumps({"pushed": list(objects), "bytes": size})


def restored(lines: Iterable[str], now: float) -> Sending:
    """From `lines` and `pushed`. Of the latter, which are not synced, some may be lost: what was open stays open. Raises ValueError if a
    reply may be lost."""
    found, lost = Sending(), False
    for line in lines:
        if not line.endswith("\n"):
            break
        try:
            if _restore(found, json.loads(line), now) and lost:
                raise LostError("a reply follows what cannot be read")
        except LostError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            lost = True
    if not found.open:
        raise LostError("it has no reply")
    return found


def _restore(sending: Sending, entry: Any, now: float) -> bool:
    """Whether the entry is about a reply."""
    if "over" in entry:
        sending.over[entry["over"]] = frozenset(entry["objects"])
    elif "open" in entry:
        reply = Reply(**entry["open"], objects=frozenset(entry["objects"]))
        sending.open[reply.name] = Open(reply, set(entry["missing"]), entry["bytes"], now)
    else:
        sending.accept(Sent(objects=tuple(entry["pushed"])), entry["bytes"], now)
        return False
    return True
