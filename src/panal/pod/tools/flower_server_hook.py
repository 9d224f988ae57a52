"""Inside the ServerApp process on the hub: watches `Strategy.start`, and gives it the run's rounds, minimum and time limit.

The app is a plain Flower app and notices nothing. Methods are wrapped on the strategy's and the grid's instance for the length of one
`start`, so that other strategies within (as those for differential privacy have) stay as they are. A training phase with fewer
replies than the run's minimum is done again, up to REPEATS times, before the run is given up: a collaborator that was just
restarted is then back. After the strategy's rounds are over, more are done while the controller asks for more.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from .files import RunError, append, number, run_dir, say
from .flower_aggregation import Aggregation, rules
from .flower_context import with_key
from .flower_judge import Judge
from .flower_model import versions, write_model
from .flower_replies import Exchange, Phase, merged, numbers

ROUND_TIMEOUT = 3600  # seconds, Flower's own; the controller always says one
REPEATS = 2
NAMED = 10  # kinds of failure in one message
TRAIN, EVALUATE = "train", "evaluate"
MINIMUMS = ("min_available_nodes", "min_train_nodes", "min_evaluate_nodes")
_NEEDED = {"self", "grid", "initial_arrays", "num_rounds", "timeout", "evaluate_fn"}

_rounds_before = 0  # of earlier calls of `start` in this process: an app may train in several stages


def patch(module: ModuleType) -> None:
    """`module` is flwr.serverapp.strategy.strategy."""
    strategy_class: Any = module.Strategy
    original = strategy_class.start
    signature = inspect.signature(original)
    if missing := _NEEDED - set(signature.parameters):
        raise TypeError(f"Strategy.start has no {sorted(missing)}")

    def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        call = {k: v for k, v in bound.arguments.items() if k != "self"}
        try:
            observation = Observation(self, call, original)
        except Exception as error:  # noqa: BLE001  an unknown kind of strategy or grid: the app runs, unobserved
            say(f"this strategy cannot be observed: {error!r}")
            return original(self, *args, **kwargs)
        return observation.run()

    strategy_class.start = start


class Observation:
    """One call of `Strategy.start`. `offset` is what has to be added to the strategy's own round numbers."""

    def __init__(self, strategy: Any, call: dict[str, Any], original: Callable[..., Any]) -> None:
        self.strategy, self.call, self.original = strategy, call, original
        self.grid, self.evaluate_fn = call["grid"], call["evaluate_fn"]
        vars(strategy), vars(self.grid)  # both must take attributes of their own: TypeError if not
        self.exchange = Exchange(self.grid, Judge(rules(strategy)))
        self.aggregation = Aggregation(strategy, self.exchange)
        self.min_clients = number("PANAL_MIN_CLIENTS", 1)
        self.rounds = number("PANAL_ROUNDS", call["num_rounds"])
        self.offset = _rounds_before
        self.training = False  # whether the messages that come next are of a training phase
        self.configured: tuple[Any, ...] = ()
        self.phase = Phase()
        self.round_began = self.phase_began = time.monotonic()
        self.history: dict[str, dict[int, dict[str, float]]] = {"train": {}, "evaluate": {}, "server": {}}
        self.methods = {
            name: getattr(strategy, name) for name in ("configure_train", "configure_evaluate", "aggregate_train", "aggregate_evaluate")
        }

    def run(self) -> Any:
        global _rounds_before
        call = {**self.call, "num_rounds": self.rounds, "timeout": float(number("PANAL_ROUND_TIMEOUT", ROUND_TIMEOUT))}
        if self.evaluate_fn is not None:
            call["evaluate_fn"] = self.evaluate
        set_minimums(self.strategy, self.min_clients)
        self._wrap()
        try:
            append({"event": "started", "rounds": self.offset + self.rounds})
            result = self.original(self.strategy, **call)
            result = self._more_rounds(result, call)
        finally:
            self._unwrap()
            _rounds_before = self.offset + self.rounds
        self._hand_over(result)
        return result

    def _more_rounds(self, result: Any, call: dict[str, Any]) -> Any:
        first = self.offset
        while (wanted := rounds_wanted()) > self.offset + self.rounds:
            done = self.offset + self.rounds
            say(f"{wanted} rounds are asked for now: going on after round {done}")
            append({"event": "started", "rounds": wanted})
            self.offset, self.rounds = done, wanted - done
            arrays = result.arrays if len(result.arrays) else call["initial_arrays"]
            more = self.original(self.strategy, **{**call, "initial_arrays": arrays, "num_rounds": self.rounds})
            merge(result, more, done - first)
        return result

    # What the strategy and the grid do, with their own round numbers shifted by `offset`.

    def _wrap(self) -> None:
        for name in self.methods:
            setattr(self.strategy, name, getattr(self, name))
        self.grid.send_and_receive = self.send_and_receive

    def _unwrap(self) -> None:
        for name in self.methods:
            vars(self.strategy).pop(name, None)
        vars(self.grid).pop("send_and_receive", None)

    def configure_train(self, server_round: int, *args: Any, **kwargs: Any) -> Any:
        self.round_began = self.phase_began = time.monotonic()
        self.training = True
        self.configured = (server_round + self.offset, args, kwargs)
        return self.methods["configure_train"](server_round + self.offset, *args, **kwargs)

    def configure_evaluate(self, server_round: int, *args: Any, **kwargs: Any) -> Any:
        self.phase_began = time.monotonic()
        self.training = False
        return self.methods["configure_evaluate"](server_round + self.offset, *args, **kwargs)

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> Any:
        replies, self.phase = self.exchange(messages, timeout, TRAIN if self.training else EVALUATE)
        if not self.training:
            return replies
        for _ in range(REPEATS):
            if not self._too_few():
                return replies
            self._record(self.configured[0], TRAIN, {})
            say(f"round {self.configured[0]}: {self.phase.replies} of {self.min_clients} replies needed; training is repeated")
            del replies
            self.phase_began = time.monotonic()
            number_, args, kwargs = self.configured
            replies, self.phase = self.exchange(self.methods["configure_train"](number_, *args, **kwargs), timeout, TRAIN)
        if self._too_few():
            self._give_up()
        return replies

    def _too_few(self) -> bool:
        return self.phase.replies < min(self.min_clients, self.phase.sent)

    def _give_up(self) -> None:
        server_round, phase = self.configured[0], self.phase
        self._record(server_round, TRAIN, {})
        reasons = {with_key(reason, phase.messages.get(cluster, "")) for cluster, reason in phase.failed.items()}
        said = ", ".join(sorted(reasons)[:NAMED]) or "no reply"
        message = f"Round {server_round}: {phase.replies} of {phase.sent} collaborators sent an update, {self.min_clients} needed ({said})"
        all_raised = phase.replies == 0 and phase.user_failures == phase.failures
        reason = "AllCollaboratorsFailed" if all_raised else "QuorumLost"
        append({"event": "stopped", "reason": reason, "message": message})
        raise RunError(reason, message)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        out = self._aggregated(TRAIN, server_round + self.offset, replies)
        self._record(server_round + self.offset, TRAIN, numbers(out[1]))
        return out

    def aggregate_evaluate(self, server_round: int, replies: Any) -> Any:
        metrics = self._aggregated(EVALUATE, server_round + self.offset, replies)
        if self.phase.sent:
            self._record(server_round + self.offset, EVALUATE, numbers(metrics))
        if self.evaluate_fn is None:
            self._end(server_round + self.offset)
        return metrics

    def _aggregated(self, kind: str, server_round: int, replies: Any) -> Any:
        before = self.phase.replies
        out = self.aggregation(kind, partial(self.methods[f"aggregate_{kind}"], server_round), list(replies), self.phase)
        if kind == TRAIN and self.phase.replies < before and self._too_few():
            self._give_up()
        return out

    def evaluate(self, server_round: int, arrays: Any) -> Any:
        if server_round == 0 and self.offset > _rounds_before:
            return None  # more rounds: the arrays were evaluated as the last round's
        began = time.monotonic()
        metrics = self.evaluate_fn(server_round + self.offset, arrays)
        self.phase, self.phase_began = Phase(), began
        self._record(server_round + self.offset, "server", numbers(metrics))
        if server_round > 0:
            self._end(server_round + self.offset)
        return metrics

    def _record(self, server_round: int, kind: str, metrics: dict[str, float]) -> None:
        phase = self.phase
        self.history[kind][server_round] = metrics
        record: dict[str, Any] = {"event": "round", "round": server_round, "phase": kind}
        if kind != "server":
            record |= {"replies": phase.replies, "failures": phase.failures}
            record |= {"collaborators": phase.collaborators, "failed": phase.failed}
            record |= {"messages": phase.messages} if phase.messages else {}
        append({**record, "seconds": round(time.monotonic() - self.phase_began, 3), "metrics": metrics})

    def _end(self, server_round: int) -> None:
        append({"event": "round", "round": server_round, "phase": "end", "seconds": round(time.monotonic() - self.round_began, 3)})

    def _hand_over(self, result: Any) -> None:
        last = self.offset + self.rounds
        if not len(result.arrays):
            say("the strategy returned no arrays: there is no model to store")
            return
        run = getattr(self.grid, "run", None)
        description = {
            "round": last,
            "metrics": merged(self.history[kind].get(last, {}) for kind in ("train", "evaluate", "server")),
            "history": self.history,
            "strategy": type(self.strategy).__name__,
            "app": {key: str(getattr(run, key, "")) for key in ("fab_id", "fab_version", "fab_hash")},
            "versions": versions(),
        }
        try:
            write_model(run_dir(), result.arrays, description)
        except Exception as error:  # noqa: BLE001  the launcher ends the run with this reason; the app need not fail as well
            append({"event": "stopped", "reason": "ModelMissing", "message": f"The model could not be handed over: {error!r}"})
            return
        append({"event": "model", "round": last})


def set_minimums(strategy: Any, minimum: int) -> None:
    """The run's minimum takes the place of the strategy's own; a phase that the strategy switched off (0) stays off."""
    for name in MINIMUMS:
        if isinstance(getattr(strategy, name, None), int) and getattr(strategy, name) > 0:
            setattr(strategy, name, minimum)
    inner = getattr(strategy, "strategy", None)
    if inner is not None:
        set_minimums(inner, minimum)


def rounds_wanted() -> int:
    try:
        return int((run_dir() / "rounds").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def merge(result: Any, more: Any, shift: int) -> None:
    """Adds what `more` rounds came to, so that the app sees one result."""
    if len(more.arrays):
        result.arrays = more.arrays
    for name in ("train_metrics_clientapp", "evaluate_metrics_clientapp", "evaluate_metrics_serverapp"):
        getattr(result, name).update({n + shift: metrics for n, metrics in getattr(more, name).items() if n > 0})
