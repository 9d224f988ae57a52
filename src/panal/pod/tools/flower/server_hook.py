"""Hook in the ServerApp process: observes `Strategy.start` and sets the run's rounds, quorum and round timeout.

The methods of the strategy and the grid are wrapped on the instance for the duration of one `start`, so that nested strategies, such as
those for differential privacy, are not observed twice. The `start` of an app's own strategy is observed as well. A training phase with too
few replies is repeated with the same messages up to REPEATS times, because restarted collaborators reconnect, before the run fails. When
the strategy has finished and spec.server.rounds was raised in the meantime, more rounds follow. After each round a checkpoint is written,
and the first `start` of a later attempt goes on after it (`resuming`).
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial, wraps
from types import ModuleType
from typing import Any, NoReturn

from ..codes import TRAIN, Ending
from ..files import ROUNDS, RunError, log_line, number, run_dir
from ..records import Number
from . import evaluation
from .aggregation import Aggregation, strategy_rules
from .codes import EVALUATE, SERVER
from .context import with_key
from .exchange import Exchange
from .fitting import require_memory
from .journal import Journal
from .judge import Judge
from .minimum import set_minimums
from .model import hand_over
from .replies import Phase, numbers
from .resuming import Resuming, is_own
from .robust import TooFewError, exact_mean
from .secure_exchange import SecureExchange
from .tracked_model import TrackedModel
from .watch import ROUND_TIMEOUT, watch_of

REPEATS = 2
NAMED = 10  # distinct failures in one message
METHODS = ("configure_train", "configure_evaluate", "aggregate_train", "aggregate_evaluate")
OBSERVED = "_panal_observed"
_NEEDED = {"self", "grid", "initial_arrays", "num_rounds", "timeout", "evaluate_fn"}


def patch(module: ModuleType) -> None:
    """`module` is flwr.serverapp.strategy.strategy."""
    strategy_class: Any = module.Strategy
    if missing := _NEEDED - set(inspect.signature(strategy_class.start).parameters):
        raise TypeError(f"Strategy.start has no {sorted(missing)}")
    strategy_class.start = observed(strategy_class.start)

    def watch_own_start(cls: Any, /, **kwargs: Any) -> None:
        super(strategy_class, cls).__init_subclass__(**kwargs)
        if "start" in vars(cls):
            cls.start = observed(vars(cls)["start"])

    strategy_class.__init_subclass__ = classmethod(watch_own_start)


def observed(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @wraps(original)
    def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "grid" not in signature.parameters or OBSERVED in vars(self):
            return original(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        warm = watch_of(bound.arguments["grid"]).warm
        own, first = bound.arguments.get("initial_arrays"), not warm.used
        if "initial_arrays" in bound.arguments:
            bound.arguments["initial_arrays"] = warm.arrays(own)
        warm.require_used()
        if evaluation.wanted():
            given = bound.arguments["initial_arrays"]
            return evaluation.Evaluation(self, bound.arguments, own, given).run() if first else evaluation.nothing(own)
        call = {k: v for k, v in bound.arguments.items() if k != next(iter(signature.parameters))}
        try:
            observation = Observation(self, call, original)
        except TypeError as error:  # an unknown kind of strategy or grid: only its messages are observed (`watch`)
            log_line(f"this strategy cannot be observed: {error!r}")
            return original(*bound.args, **bound.kwargs)
        return observation.run()

    return start


class Observation:
    """Observes one call of `Strategy.start`. A round of the run is the strategy's round number plus `offset`."""

    def __init__(self, strategy: Any, call: dict[str, Any], original: Callable[..., Any]) -> None:
        self.strategy, self.call, self.original = strategy, call, original
        self.grid, self.evaluate_fn = call["grid"], call.get("evaluate_fn")
        vars(strategy), vars(self.grid)  # TypeError for objects whose methods cannot be replaced
        self.watch = watch_of(self.grid)
        self.journal: Journal = self.watch.journal
        self.resuming = Resuming(strategy, self.evaluate_fn, self.grid, self.watch.clusters, self.journal, skipped=(*METHODS, OBSERVED))
        self.robust, self.secure = self.watch.robust, self.watch.secure
        judge = Judge(strategy_rules(strategy, alike=self.robust.wanted or self.secure.wanted))
        grid = self.watch.unobserved(self.grid)
        self.exchange = Exchange(grid, judge, self.watch.clusters, lambda: self.resuming.mark(self.last))
        self.trainings: Exchange | SecureExchange = self.exchange
        if self.secure.wanted:
            self.trainings = SecureExchange(self.exchange, grid, self.secure, self.watch.clusters, self.journal)
        self.aggregation = Aggregation(strategy, self.exchange)
        self.min_clients = number("PANAL_MIN_CLIENTS", 1)
        self.timeout = float(number("PANAL_ROUND_TIMEOUT", ROUND_TIMEOUT))
        given = int(call.get("num_rounds", 0))
        self.several = self.watch.starts.several(sys._getframe())
        self.rounds = given if self.several or not given else number("PANAL_ROUNDS", given)  # 0: unknown
        self.watch.close()  # ends the rounds of a main loop that the app ran before
        self.offset = self.before = self.last = self.ended = self.journal.rounds
        self.training = False  # whether the next messages belong to a training phase
        self.model = TrackedModel(strategy, self.journal, call.get("initial_arrays"))
        self.phase = Phase()
        self.round_began = self.phase_began = time.monotonic()
        self.methods = {name: getattr(strategy, name) for name in METHODS}

    def run(self) -> Any:
        self.model.check_types()
        self.robust.require(self.journal, self.strategy, self.model.arrays, own_start=is_own(self.original))
        self.secure.require(self.journal, self.strategy, self.model.arrays, own_start=is_own(self.original))
        require_memory(self.journal, self.strategy, self.model.arrays)
        call = {**self.call} | {k: v for k, v in (("num_rounds", self.rounds), ("timeout", self.timeout)) if k in self.call}
        if self.evaluate_fn is not None:
            call["evaluate_fn"] = self.evaluate
        set_minimums(self.strategy, self.min_clients)
        self._wrap()
        result, raised = None, True
        try:
            done = self._resume()
            if not done:
                self.watch.warm.require_model()
            self.journal.started(self.offset + self.rounds if self.rounds else 0)
            result = self._rest(call) if done else self.original(self.strategy, **call)
            result = self._more_rounds(result, call)
            self._end()
            raised = False
        finally:
            self._unwrap()
            self.journal.rounds = self.last
            if not self.resuming.lost:
                self._hand_over(getattr(result, "arrays", None), raised)
        return result

    def _resume(self) -> int:
        """Restores the last checkpoint, if there is one. Returns its round."""
        first = self.journal.rounds == self.journal.models == 0
        self.resuming.begin(self._why_not_resumable(first))
        done = self.resuming.restore(self.model) if first and not self.resuming.problem else 0
        if done:
            self.offset = self.last = self.ended = done
            self.rounds = max(0, self.rounds - done)
        return done

    def _why_not_resumable(self, first: bool) -> str:
        if self.several:
            return "the app calls start several times"
        if is_own(self.original):
            return f"{type(self.strategy).__name__} has a start of its own"
        return "" if first else "the app has trained before this call of start"

    def _rest(self, call: dict[str, Any]) -> Any:
        """Calls `start` for the rounds after the checkpoint. Returns the result of all rounds."""
        result = self.resuming.progress.result(self.model)
        if self.rounds:
            more = self.original(self.strategy, **{**call, "initial_arrays": self.model.arrays, "num_rounds": self.rounds})
            merge(result, more, self.offset - self.before)
        return result

    def _more_rounds(self, result: Any, call: dict[str, Any]) -> Any:
        if self.several or not {"num_rounds", "initial_arrays"} <= call.keys():
            return result
        while (wanted := rounds_wanted()) > self.offset + self.rounds:
            done = self.offset + self.rounds
            log_line(f"{wanted} rounds are requested now: continuing after round {done}")
            self.journal.started(wanted)
            self.offset, self.rounds = done, wanted - done
            arrays = result.arrays if len(result.arrays) else call["initial_arrays"]
            more = self.original(self.strategy, **{**call, "initial_arrays": arrays, "num_rounds": self.rounds})
            merge(result, more, done - self.before)
        return result

    # Replacements of the methods of the strategy and the grid.

    def _wrap(self) -> None:
        for name in self.methods:
            setattr(self.strategy, name, getattr(self, name))
        setattr(self.strategy, OBSERVED, True)
        self.outer = vars(self.grid).get("send_and_receive")
        self.grid.send_and_receive = self.send_and_receive
        self.watch.observing = True

    def _unwrap(self) -> None:
        for name in (*self.methods, OBSERVED):
            vars(self.strategy).pop(name, None)
        vars(self.grid).pop("send_and_receive", None)
        if self.outer is not None:
            self.grid.send_and_receive = self.outer
        self.watch.observing = False

    def configure_train(self, server_round: int, *args: Any, **kwargs: Any) -> Any:
        self.training = True
        self._end()
        self.round_began = self.phase_began = time.monotonic()
        self.last = server_round + self.offset
        return self.methods["configure_train"](self.last, *args, **kwargs)

    def configure_evaluate(self, server_round: int, *args: Any, **kwargs: Any) -> Any:
        self.phase_began = time.monotonic()
        self.training = False
        return self.methods["configure_evaluate"](server_round + self.offset, *args, **kwargs)

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> Any:
        """Repeats a failed phase with the same messages instead of calling `configure_train` again, which may have side effects."""
        timeout = self.timeout if timeout is None else min(timeout, self.timeout)
        kind, exchange = (TRAIN, self.trainings) if self.training else (EVALUATE, self.exchange)
        replies, self.phase = exchange(messages, timeout, kind)
        for _ in range(REPEATS if self.training else 0):
            if not self._too_few():
                break
            self._record(self.last, TRAIN, {})
            log_line(f"round {self.last}: {self.phase.replies} of {self._needed()} replies needed; sending the failed messages again")
            del replies
            self.phase_began = time.monotonic()
            replies, self.phase = exchange.resend(timeout, kind, self.min_clients)
        self.resuming.check_clients(self.exchange.reports())
        self.exchange.clear()
        if self.training and self._too_few():
            self._give_up()
        return replies

    def _too_few(self) -> bool:
        return self.phase.replies < self._needed()

    def _needed(self) -> int:
        """Nobody is missed who was not asked, but for a method of aggregation or secure aggregation, which need their number of updates."""
        asked = min(self.min_clients, self.phase.sent)
        if not self.training or not self.phase.sent:
            return asked
        return max(asked, self.robust.fewest, self.phase.threshold or self.secure.fewest(self.phase.sent))

    def _give_up(self) -> NoReturn:
        server_round, phase = self.last, self.phase
        self._record(server_round, TRAIN, {})
        reasons = {with_key(reason, phase.messages.get(cluster, "")) for cluster, reason in phase.failed.items()}
        named = ", ".join(sorted(reasons)[:NAMED]) or "no reply"
        by = f" by {self.robust}" if self.robust.wanted else " by secure aggregation" if self.secure.wanted else ""
        needed = f"{max(self.min_clients, self._needed())} needed{by}"
        message = f"Round {server_round}: {phase.replies} of {phase.sent} collaborators sent an update, {needed} ({named})"
        all_raised = phase.replies == 0 and phase.user_failures == phase.failures
        reason = Ending.ALL_COLLABORATORS_FAILED if all_raised else Ending.QUORUM_LOST
        self.journal.stopped(reason, message)
        raise RunError(reason, message)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        given = list(replies)
        out = self._aggregated(TRAIN, server_round + self.offset, given)
        try:
            self.model.update(server_round + self.offset, out[0], given, trained=bool(self.phase.sent))
        except (AttributeError, TypeError, ValueError, KeyError) as error:
            log_line(f"cannot read what this strategy returns: {error!r}")
        self._keep("train_metrics_clientapp", server_round, out[1])
        self._record(server_round + self.offset, TRAIN, numbers(out[1]))
        return out

    def aggregate_evaluate(self, server_round: int, replies: Any) -> Any:
        metrics = self._aggregated(EVALUATE, server_round + self.offset, list(replies))
        self._keep("evaluate_metrics_clientapp", server_round, metrics)
        self._record(server_round + self.offset, EVALUATE, numbers(metrics))
        if self.evaluate_fn is None:
            self._end()
        return metrics

    def _aggregated(self, kind: str, server_round: int, replies: list[Any]) -> Any:
        before = self.phase.replies
        aggregate = partial(self.methods[f"aggregate_{kind}"], server_round)
        robustly = self.robust.in_place_of_the_mean(kind, aggregate, self.watch.clusters, self.phase)
        try:
            with exact_mean() if kind == TRAIN and self.secure.wanted else nullcontext():
                out = self.aggregation(kind, robustly, replies, self.phase)
        except TooFewError:
            self._give_up()
        if kind == TRAIN and self.phase.replies < before and self._too_few():
            self._give_up()
        return out

    def evaluate(self, server_round: int, arrays: Any) -> Any:
        assert self.evaluate_fn is not None
        if server_round == 0 and self.offset > self.before:
            return None  # further rounds: these arrays were evaluated at the end of the previous round
        began = time.monotonic()
        metrics = self.evaluate_fn(server_round + self.offset, arrays)
        self._keep("evaluate_metrics_serverapp", server_round, metrics)
        self.phase, self.phase_began = Phase(), began
        self._record(server_round + self.offset, SERVER, numbers(metrics))
        if server_round > 0:
            self._end()
        return metrics

    def _keep(self, name: str, server_round: int, metrics: Any) -> None:
        """Keeps the metrics of a round for the checkpoint, as `start` puts them into its result."""
        if metrics is not None:
            self.resuming.progress.metrics[name][server_round + self.offset - self.before] = metrics

    def _record(self, server_round: int, kind: str, metrics: dict[str, Number]) -> None:
        self.journal.phase(server_round, kind, self.phase, time.monotonic() - self.phase_began, metrics)

    def _end(self) -> None:
        """Writes the end of the last round, once."""
        if self.last > self.ended:
            self.journal.end(self.last, time.monotonic() - self.round_began)
            self.ended = self.last
            self.resuming.save(self.last, self.model)

    def _hand_over(self, returned: Any, raised: bool) -> None:
        """Hands over the arrays that `start` returned; if it raised or returned none, the last arrays that the strategy aggregated."""
        arrays = returned or (self.model.arrays if self.model.round else None)
        self.model.report_rounds_without_arrays()
        if not arrays:
            if not raised:
                self.model.report_no_model()
            return
        name, metrics = type(self.strategy).__name__, self.journal.metrics(self.last)
        hand_over(self.journal, self.grid, arrays, round_=self.model.round or self.last, strategy=name, metrics=metrics)


def rounds_wanted() -> int:
    try:
        return int((run_dir() / ROUNDS).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def merge(result: Any, more: Any, shift: int) -> None:
    """Merges the result of `more` rounds into `result`; their numbers are shifted by `shift`."""
    if len(more.arrays):
        result.arrays = more.arrays
    for name in ("train_metrics_clientapp", "evaluate_metrics_clientapp", "evaluate_metrics_serverapp"):
        getattr(result, name).update({n + shift: metrics for n, metrics in getattr(more, name).items() if n > 0})
