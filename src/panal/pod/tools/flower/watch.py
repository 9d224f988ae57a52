"""Hook in the ServerApp process: derives rounds, replies and failures from the messages that pass the grid.

`server_hook` observes apps that use `Strategy.start`, where the rounds are known. This module serves all others: apps with their own main
loop, legacy workflows and queries.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any

from ..codes import TRAIN, Doubt, Ending
from ..files import RunError, number
from . import update_norm
from .aggregation import base_rules
from .context import naming_missing_keys
from .exchange import QUORUM_TIMEOUT, Exchange
from .journal import KINDS, Journal, Rounds
from .judge import Judge
from .part import Part
from .replies import Clusters, Phase, merged, result_of, take_record
from .robust import Robust
from .secure import SecureAggregation
from .starts import Starts
from .updates import Counted, counted, most_updates
from .waits import wanted
from .warm_start import WarmStart

ROUND_TIMEOUT = 3600  # seconds; Flower's default, used only without the controller
SILENT = 3.0  # seconds of polling for nodes before the app counts as waiting
PATIENCE = 60.0  # seconds between two polls that belong to the same wait

_watch: Watch | None = None


def patch(module: ModuleType) -> None:
    """`module` is flwr.server.run_serverapp, whose `run` runs a server app with a grid."""
    original = module.run

    def run(grid: Any, context: Any, server_app_dir: str, *args: Any, **kwargs: Any) -> Any:
        global _watch
        _watch = Watch(grid, Starts(Path(server_app_dir)))
        try:
            result = original(grid, naming_missing_keys(context), server_app_dir, *args, **kwargs)
            _watch.warm.require_used()
            return result
        finally:
            _watch.close()

    module.run = run  # type: ignore[attr-defined]


def current() -> Watch | None:
    """The Watch of this process, if a server app runs in it."""
    return _watch


def watch_of(grid: Any) -> Watch:
    """The Watch of this process; creates one for `grid` if the server app was started in another way."""
    global _watch
    if _watch is None:
        _watch = Watch(grid, Starts(Path("/nowhere")))
    return _watch


class Watch:
    """Observes one run of a server app. While an `Observation` is active, which counts the messages itself, they pass unobserved."""

    def __init__(self, grid: Any, starts: Starts) -> None:
        self.clusters = Clusters()
        passing = Counted(grid.push_messages, grid.pull_messages, self.clusters, most_updates()) if counted() else grid
        self.originals = SimpleNamespace(
            push_messages=passing.push_messages, pull_messages=passing.pull_messages, get_node_ids=grid.get_node_ids
        )
        self.grid = grid
        self.starts = starts
        self.journal = Journal()
        self.warm = WarmStart(self.journal)
        self.robust = Robust.of_the_run()
        self.secure = SecureAggregation.of_the_run()
        self.observing = False
        self._rounds = Rounds()
        self._total = 0  # number of rounds; 0: unknown
        self._part: Part | None = None
        self._pushed: dict[str, tuple[Part, int]] = {}  # messages without a reply yet, each with its node
        self._waiting = Waiting(self.journal)
        self._lock = threading.RLock()  # legacy servers use one thread per client
        self._get_nodes = getattr(grid, "get_nodes", None)
        grid.send_and_receive, grid.push_messages, grid.pull_messages = self.send_and_receive, self.push_messages, self.pull_messages
        if self._get_nodes is not None:
            grid.get_nodes = self.get_nodes

    def unobserved(self, grid: Any) -> Any:
        """The unobserved methods of the grid for an Observation; `grid` itself if it is the app's own wrapper."""
        return self.originals if grid is self.grid else grid

    # Replacements of the grid's methods:

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        """The default timeout is the run's, so that no wait is endless."""
        sent = list(messages)
        part = self._begin(sent)
        exchange = Exchange(self.originals, Judge(base_rules()), self.clusters)
        replies, _ = exchange(sent, number("PANAL_ROUND_TIMEOUT", ROUND_TIMEOUT) if timeout is None else timeout, part.kind or "other")
        with self._lock:
            part.results |= exchange.results
            self._write(part)
        return replies

    def push_messages(self, messages: Iterable[Any]) -> Iterable[str]:
        if self.observing:
            ids: Iterable[str] = self.originals.push_messages(messages)
            return ids
        sent = list(messages)
        part = self._begin(sent)
        if part.kind == TRAIN:
            update_norm.refuse(self.journal, "the app takes its replies with pull_messages, where they are not examined")
        ids = list(self.originals.push_messages(sent))
        with self._lock:
            self._pushed |= {i: (part, m.metadata.dst_node_id) for i, m in zip(ids, sent) if i and part.kind}
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Any]:
        wanted_ids = list(message_ids)
        replies = list(self.originals.pull_messages(wanted_ids))
        if self.observing:
            return replies
        with self._lock:
            polled = [found for i in wanted_ids if (found := self._pushed.get(i)) is not None]
            for part, node in polled:
                part.polled.add(node)
            mine = None
            for reply in replies:
                seconds = take_record(reply.content).seconds if reply.has_content() else None
                if (known := self._pushed.pop(reply.metadata.reply_to_message_id, None)) is not None:
                    mine, node = known
                    mine.results[node] = result_of(reply, seconds)
            if mine is not None:
                self._write(mine)
            if polled:
                polled[-1][0].note_late(self.clusters)
        return replies

    def get_nodes(self) -> list[Any]:
        """In the order of the clusters' names: node ids differ with each start, and a strategy that draws nodes should draw the same."""
        assert self._get_nodes is not None
        nodes = sorted(self._get_nodes(), key=lambda node: self.clusters.of(getattr(node, "node_id", None)))
        if not self.observing:
            self._waiting.note_poll(len(nodes), sys._getframe(1))
        return nodes

    # Rounds:

    def _begin(self, messages: list[Any]) -> Part:
        """The part of a round to which these messages belong; a Part without kind if they are not all of one kind in KINDS."""
        kinds = {str(m.metadata.message_type).partition(".")[0] for m in messages}
        kind = kinds.pop() if len(kinds) == 1 and kinds <= set(KINDS) else ""
        if kind == TRAIN:
            self.warm.require_used()
            for each in (self.robust, self.secure):
                each.refuse(self.journal, "the app does not train with Strategy.start of flwr.serverapp")
        if not kind:
            return Part("")
        self._waiting.over()
        groups = {str(m.metadata.group_id) for m in messages}
        nodes = {m.metadata.dst_node_id for m in messages}
        with self._lock:
            part = self._part
            continues = part is not None and part.kind == kind and len(messages) == 1 and not nodes & part.results.keys()
            if not (continues and groups == {""}) and self._rounds.starts_new(kind, groups):
                self._end_round()
                self._rounds.begin(groups)
                if self._rounds.number == 1 and not self._total:
                    self.journal.notice(Doubt.NOT_RESUMABLE, "the app has a main loop of its own, which cannot go on after a round")
                    self.journal.started(0)
            if self._part is None or self._part.kind != kind:
                self._part = Part(kind)
            self._rounds.kinds.add(kind)
            for node in nodes:
                self._part.results[node] = None
            return self._part

    def _write(self, part: Part) -> None:
        if part.kind and part.results:
            number_ = self.journal.rounds + self._rounds.number
            self.journal.phase(number_, part.kind, part.phase(self.clusters), time.monotonic() - part.began, {})

    def started(self, total: int) -> None:
        """A legacy server app starts `total` rounds."""
        self._total = total
        self.journal.notice(Doubt.NOT_RESUMABLE, "the app uses Flower's former server, which cannot go on after a round")
        self.journal.started(self.journal.rounds + total)

    def report(self, kind: str, round_: int, metrics: Mapping[str, Any]) -> None:
        """Writes the metrics that a legacy server app has aggregated in a round."""
        with self._lock:
            phase = self._part.phase(self.clusters) if self._part is not None and self._part.kind == kind else Phase()
            if round_ > 0:
                self.journal.phase(self.journal.rounds + round_, kind, phase, 0.0, merged([metrics]))

    def _end_round(self) -> None:
        if self._part is not None and None in self._part.results.values():
            self._part.give_up()
            self._write(self._part)
        if self._rounds.number:
            self.journal.end(self.journal.rounds + self._rounds.number, time.monotonic() - self._rounds.began)
        self._part, self._pushed = None, {}

    def close(self) -> None:
        """Ends the rounds of the app's main loop."""
        with self._lock:
            self._end_round()
            self.journal.rounds += self._rounds.number
            self._rounds = Rounds()


class Waiting:
    """Detects an app that polls for nodes before it sends messages."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since = self._last = 0.0
        self._message = ""

    def over(self) -> None:
        self._since, self._message = 0.0, ""

    def note_poll(self, count: int, frame: FrameType | None) -> None:
        """Notes a poll that returned `count` nodes. Raises RunError after the quorum timeout."""
        now = time.monotonic()
        if not self._since or now - self._last > PATIENCE:
            self._since = now
        self._last = now
        if now - self._since < SILENT:
            return
        needed = wanted(frame)
        if needed is None or needed <= count:
            return
        message = f"the app waits for {needed} nodes, {count} are there"
        if message != self._message:
            self._message = message
            self._journal.waiting(message)
        if now - self._since > (limit := number("PANAL_QUORUM_TIMEOUT", QUORUM_TIMEOUT)):
            self._journal.stopped(Ending.QUORUM_NOT_REACHED, f"{message}, for {limit} s")
            raise RunError(Ending.QUORUM_NOT_REACHED, message)
