"""Counts the updates that may have left each site of a private run (spec.privacy), in the ServerApp process, and asks for no more than
maxEpsilon allows.

An update counts from the moment at which its site is asked for it, so that none is missing if this process is killed. It does not count any
more if the site has replied with an error, or if the message was not accepted. One that was late, or refused here, has left its site. Those
of earlier aggregators are in a file of the reporter's, which is there before a site connects.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

from ..codes import TRAIN, Doubt, Withheld
from ..files import SPENT, append, log_line, read_json, read_records, run_dir
from ..records import Notice, Updates
from .errors import WITHHELD, is_written, written
from .private import SETTINGS
from .replies import Clusters

UNSENT = "unsent-"  # begins the ids of messages that are not sent
NAMED = 5  # clusters in one message


class Counted:
    """The methods of a grid that pass messages and replies, which `push` and `pull` call. `most`: how many updates a site may send."""

    def __init__(
        self,
        push: Callable[..., Iterable[str]],
        pull: Callable[..., Iterable[Any]],
        clusters: Clusters,
        most: int | None = None,
    ) -> None:
        self._push, self._pull, self._clusters, self._most = push, pull, clusters, most
        self._asked: dict[str, str] = {}  # the clusters of messages without a reply yet
        self._unsent: dict[str, Any] = {}
        self._own: Counter[str] = Counter()
        for each in read_records():
            if isinstance(each, Updates):
                self._count(each)

    def push_messages(self, messages: Iterable[Any], *args: Any, **kwargs: Any) -> list[str]:
        """As the grid's. A message to a site that may send no more updates is not sent: `pull_messages` returns an error for it."""
        sent = list(messages)
        clusters = [self._clusters.of(m.metadata.dst_node_id) if _asks(m) else "" for m in sent]
        allowed = self._allowed(clusters)
        if asked := [cluster for cluster, may in zip(clusters, allowed) if cluster and may]:
            self._tell(Updates(asked=asked))
        passed = iter(self._push([m for m, may in zip(sent, allowed) if may], *args, **kwargs) if any(allowed) else ())
        ids = [next(passed, "") if may else f"{UNSENT}{uuid4().hex}" for may in allowed]
        self._unsent |= {i: message for i, message, may in zip(ids, sent, allowed) if not may}
        self._asked |= {i: cluster for i, cluster, may in zip(ids, clusters, allowed) if i and cluster and may}
        if rejected := [cluster for i, cluster, may in zip(ids, clusters, allowed) if cluster and may and not i]:
            self._tell(Updates(without=rejected))
        return ids

    def pull_messages(self, message_ids: Iterable[str], *args: Any, **kwargs: Any) -> list[Any]:
        wanted = list(message_ids)
        unsent = [_spent(i, message) for i in wanted if (message := self._unsent.pop(i, None)) is not None]
        wanted = [i for i in wanted if not i.startswith(UNSENT)]
        replies = list(self._pull(wanted, *args, **kwargs)) if wanted else []
        answered = [(self._asked.pop(reply.metadata.reply_to_message_id, ""), reply) for reply in replies]
        if without := [cluster for cluster, reply in answered if cluster and reply.has_error() and is_written(reply.error.reason)]:
            self._tell(Updates(without=without))
        return [*replies, *unsent]

    def _allowed(self, clusters: Sequence[str]) -> list[bool]:
        """Whether each of the messages to these clusters may be sent; a message that asks for no update has none."""
        if self._most is None:
            return [True] * len(clusters)
        earlier = read_json(run_dir() / SPENT) or {"earlier": {}, "lost": 0}
        left = {c: self._most - self._own[c] - earlier["earlier"].get(c, 0) - earlier["lost"] for c in set(clusters) if c}
        allowed = []
        for cluster in clusters:
            allowed.append(not cluster or left[cluster] > 0)
            left[cluster] = left.get(cluster, 0) - 1
        if spent := sorted({cluster for cluster, may in zip(clusters, allowed) if not may}):
            named = ", ".join(spent[:NAMED]) + (f" and {len(spent) - NAMED} more" if len(spent) > NAMED else "")
            message = f"{named}: not asked for a further update, because spec.privacy.differentialPrivacy.maxEpsilon allows {self._most}"
            log_line(message)
            append(Notice(kind=Doubt.PRIVACY_SPENT, message=message))
        return allowed

    def _tell(self, record: Updates) -> None:
        append(record)
        self._count(record)

    def _count(self, record: Updates) -> None:
        self._own.update(record.asked or ())
        self._own.subtract(record.without or ())


def _spent(id_: str, message: Any) -> Any:
    """An error in place of the reply to a message that was not sent."""
    from flwr.app import Error

    reply = type(message)(Error(WITHHELD, written(Withheld.PRIVACY_SPENT)), reply_to=message)
    reply.metadata.__dict__["_reply_to_message_id"] = id_  # as Flower does with the ids that it gives
    return reply


def counted() -> bool:
    """Whether the updates of sites are counted, because each of them costs privacy."""
    return "mostUpdates" in json.loads(os.environ.get(SETTINGS) or "{}")


def most_updates() -> int | None:
    """How many updates a site may send in all; None: any number. Raises ValueError, KeyError, TypeError."""
    found = json.loads(os.environ[SETTINGS])["mostUpdates"]
    return None if found is None else int(found)


def _asks(message: Any) -> bool:
    return str(message.metadata.message_type).partition(".")[0] == TRAIN
