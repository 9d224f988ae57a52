"""Checkpoints of a call of `Strategy.start`, and how a later attempt of the run goes on after one.

The state of a run after a round: the arrays of the model, the strategy (`state_tree`), the variables of `evaluate_fn`, the random number
generators, the metrics so far, and a digest of each client's own state (`client_state`). Only the first call of `start` has checkpoints. An
attempt goes on after a checkpoint if it runs the same app with the same run config; otherwise it begins with the first round.
"""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .. import checkpoint
from ..codes import Doubt, Ending
from ..files import RunError, log_line
from . import randomness
from .codes import MIN_CLIENTS_KEYS, ROUNDS_KEYS
from .journal import Journal
from .replies import Clusters, Report
from .state_tree import Decoder, Encoder, StateError
from .tracked_model import TrackedModel

NAMED = 5  # values in one message
METRICS = ("train_metrics_clientapp", "evaluate_metrics_clientapp", "evaluate_metrics_serverapp")  # of Flower's Result


@dataclass
class Progress:
    """What `start` returns at the end, as far as it is known: metrics by the names of Flower's Result and by round."""

    metrics: dict[str, dict[int, Any]] = field(default_factory=lambda: {name: {} for name in METRICS})

    def result(self, model: TrackedModel) -> Any:
        result = importlib.import_module("flwr.serverapp.strategy.result").Result()
        if model.round:
            result.arrays = model.arrays
        for name, rounds in self.metrics.items():
            getattr(result, name).update(rounds)
        return result


class Clients:
    """The digests of the clients' states, by cluster; None: unknown, because the cluster has not replied to its last message."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self.digests: dict[str, str | None] = {}
        self._expected: dict[str, str | None] | None = None
        self._seen: set[str] = set()

    def expect(self, digests: dict[str, str | None]) -> None:
        """The attempt goes on with clients in these states."""
        self.digests, self._expected = dict(digests), dict(digests)

    def note(self, reports: Iterable[tuple[int, Report | None]]) -> list[str]:
        """Notes the replies of a phase. Returns the clusters whose client began with another state than expected."""
        lost = []
        for node, report in reports:
            cluster = self._clusters.of(node)
            self.digests[cluster] = report.after if report else None
            if report is None or cluster in self._seen:
                continue
            self._seen.add(cluster)
            expected = None if self._expected is None else self._expected.get(cluster, "")
            if expected is not None and report.before not in (None, expected):
                lost.append(cluster)
        return sorted(lost)


class Resuming:
    """The checkpoints of one call of `start`. `skipped` are attributes of the strategy that are not its own."""

    def __init__(self, strategy: Any, evaluate_fn: Any, grid: Any, clusters: Clusters, journal: Journal, skipped: Iterable[str]) -> None:
        self.strategy, self.evaluate_fn, self.journal = strategy, evaluate_fn, journal
        self.skipped = tuple(skipped)
        self.app = fingerprint(getattr(grid, "run", None))
        self.progress = Progress()
        self.clients = Clients(clusters)
        self.attempt = uuid.uuid4().hex
        self.resumed = 0  # the round after which this attempt goes on
        self.problem = ""
        self.lost = False  # a state is lost: this attempt has no result
        self._known: dict[str, int] | None = None

    def begin(self, why_not: str) -> None:
        """Looks for what cannot be restored, and reports it before the first round. `why_not`: why this call has no checkpoints."""
        encoder = self._encoder()
        self._trees(encoder)
        self._known = encoder.fixed
        self.problem = why_not or named(encoder.problems)
        if self.problem:
            self.journal.notice(Doubt.NOT_RESUMABLE, self.problem)

    def mark(self, round_: int) -> Any:
        """For the messages of `round_`."""
        record: Any = importlib.import_module("flwr.app").ConfigRecord
        return record({"attempt": self.attempt, "round": round_, "resumed": self.resumed})

    def save(self, round_: int, model: TrackedModel) -> None:
        """Writes the checkpoint of `round_`, which is complete."""
        if self.problem:
            return
        encoder = self._encoder()
        trees = self._trees(encoder)
        tree = encoder.encode(model.arrays, "the model")
        metrics = {name: [[n, encoder.encode(m, name)] for n, m in rounds.items()] for name, rounds in self.progress.metrics.items()}
        if encoder.problems:
            self.problem = named(encoder.problems)
            self.journal.notice(Doubt.NOT_RESUMABLE, self.problem)
            return
        state = {
            **trees,
            "app": self.app,
            "model": tree,
            "model round": model.round,
            "without": model.without,
            "metrics": metrics,
            "history": self.journal.history,
            "clients": self.clients.digests,
            "random": randomness.state(),
        }
        try:
            arrays = (array() if callable(array) else array for array in encoder.arrays)  # one at a time is in memory
            checkpoint.write(round_, ((str(index), array) for index, array in enumerate(arrays)), state)
        except OSError as error:
            self.journal.notice(Doubt.CHECKPOINT_FAILED, f"the checkpoint of round {round_} could not be written: {error}")

    def restore(self, model: TrackedModel) -> int:
        """Restores the last checkpoint. Returns its round; 0 if the run begins with the first round. Raises RunError if the checkpoint does
        not fit."""
        saved = checkpoint.last()
        if saved is None:
            return 0
        state = saved.state
        if state.get("app") != self.app:
            log_line(f"the checkpoint of round {saved.round} is of another app or run config: beginning with the first round")
            return 0
        try:
            decoder = Decoder(list(saved.arrays().values()))
            decoder.restore(state["strategy"], self.strategy)
            decoder.restore(state["evaluate_fn"], self.evaluate_fn)
            model.arrays, model.round = decoder.restore(state["model"], None), int(state["model round"])
            model.without = list(map(int, state["without"]))
            for name, rounds in state["metrics"].items():
                self.progress.metrics[name] = {int(n): decoder.restore(metrics, None) for n, metrics in rounds}
        except (StateError, KeyError, TypeError, ValueError, AttributeError, IndexError, OSError) as error:
            raise self._state_lost(f"The state of round {saved.round} cannot be restored: {error}") from error
        self.journal.history = {kind: {int(n): found for n, found in rounds.items()} for kind, rounds in state["history"].items()}
        self.clients.expect(state["clients"])
        randomness.restore(state["random"])
        self.resumed = saved.round
        checkpoint.resumed(saved)
        return saved.round

    def check_clients(self, reports: Iterable[tuple[int, Report | None]]) -> None:
        """Notes the states of clients. Raises RunError if one of them could not be restored."""
        if not (lost := self.clients.note(reports)):
            return
        names = f"{', '.join(lost[:NAMED])}{f' and {len(lost) - NAMED} more' if len(lost) > NAMED else ''}"
        raise self._state_lost(f"The client state (context.state) of round {self.resumed} is no longer at {names}")

    def _state_lost(self, message: str) -> RunError:
        self.lost = True
        self.journal.stopped(Ending.STATE_LOST, message)
        checkpoint.reset()
        return RunError(Ending.STATE_LOST, message)

    def _encoder(self) -> Encoder:
        return Encoder(self._known)

    def _trees(self, encoder: Encoder) -> dict[str, Any]:
        name = type(self.strategy).__name__
        strategy = encoder.encode(self.strategy, name, skip=self.skipped)
        return {"strategy": strategy, "evaluate_fn": encoder.encode(self.evaluate_fn, "evaluate_fn", lenient=True)}


def named(problems: list[str]) -> str:
    more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return f"{', '.join(problems[:NAMED])}{more} cannot be restored" if problems else ""


def fingerprint(run: Any) -> dict[str, Any]:
    """The app and its run config, without the keys that panal sets from the spec."""
    config = getattr(run, "override_config", None) or {}
    ours = {*ROUNDS_KEYS, *MIN_CLIENTS_KEYS}
    given = {key: value for key, value in sorted(config.items()) if key.replace("_", "-") not in ours}
    return {"hash": str(getattr(run, "fab_hash", "")), "config": given}


def is_own(start: Callable[..., Any]) -> bool:
    """Whether this `start` is the app's own and not Flower's."""
    module = sys.modules.get("flwr.serverapp.strategy.strategy")
    return module is None or getattr(start, "__module__", "") != module.__name__
