"""Counts the updates that may have left each site of a private run (spec.privacy), in the ServerApp process.

An update counts from the moment at which its site is asked for it, so that none is missing if this process is killed. It does not count any
more if the site has replied with an error, or if the message was not accepted. One that was late, or refused here, has left its site.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from ..codes import TRAIN
from ..files import append
from ..records import Updates
from .errors import is_written
from .replies import Clusters


class Counted:
    """The methods of a grid that pass messages and replies, which `push` and `pull` call."""

    def __init__(self, push: Callable[..., Iterable[str]], pull: Callable[..., Iterable[Any]], clusters: Clusters) -> None:
        self._push, self._pull, self._clusters = push, pull, clusters
        self._asked: dict[str, str] = {}  # the clusters of messages without a reply yet

    def push_messages(self, messages: Iterable[Any], *args: Any, **kwargs: Any) -> list[str]:
        sent = list(messages)
        clusters = [self._clusters.of(m.metadata.dst_node_id) if _asks(m) else "" for m in sent]
        if asked := list(filter(None, clusters)):
            append(Updates(asked=asked))
        ids = list(self._push(sent, *args, **kwargs))
        self._asked |= {i: cluster for i, cluster in zip(ids, clusters) if i and cluster}
        if rejected := [cluster for i, cluster in zip(ids, clusters) if cluster and not i]:
            append(Updates(without=rejected))
        return ids

    def pull_messages(self, *args: Any, **kwargs: Any) -> list[Any]:
        replies = list(self._pull(*args, **kwargs))
        answered = [(self._asked.pop(reply.metadata.reply_to_message_id, ""), reply) for reply in replies]
        if without := [cluster for cluster, reply in answered if cluster and reply.has_error() and is_written(reply.error.reason)]:
            append(Updates(without=without))
        return replies


def counted() -> bool:
    """Whether the run is private."""
    return bool(os.environ.get("PANAL_PRIVACY"))


def _asks(message: Any) -> bool:
    return str(message.metadata.message_type).partition(".")[0] == TRAIN
