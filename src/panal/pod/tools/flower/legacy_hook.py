"""Hook in the ServerApp process for servers and workflows of Flower's older interface, which secure aggregation requires.

`watch` observes their messages. This module sets the run's rounds and quorum, records the aggregated metrics, and hands over the model.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any

from ..codes import TRAIN
from ..files import RunError, number
from . import evaluation, update_norm
from .codes import EVALUATE, SERVER, FlowerEnding
from .minimum import set_minimums
from .model import hand_over
from .watch import Watch, current, watch_of

# Methods of History that add the metrics of a round: the phase, and the metric's name if the argument is a single number.
HISTORY_METHODS = {
    "add_loss_distributed": (EVALUATE, "loss"),
    "add_metrics_distributed": (EVALUATE, ""),
    "add_metrics_distributed_fit": (TRAIN, ""),
    "add_loss_centralized": (SERVER, "loss"),
    "add_metrics_centralized": (SERVER, ""),
}
OLDER = "the app uses Flower's older interface"
PARAMETERS = "parameters"  # the record that holds a workflow's model


def patch(module: ModuleType) -> None:
    """`module` is flwr.server.history, flwr.server.server or flwr.server.workflow.default_workflows."""
    {"history": patch_history, "server": patch_server, "default_workflows": patch_workflow}[module.__name__.rpartition(".")[2]](module)


def patch_history(module: Any) -> None:
    for name, (kind, single) in HISTORY_METHODS.items():
        setattr(module.History, name, reporting(getattr(module.History, name), kind, single))


def reporting(original: Callable[..., Any], kind: str, single: str) -> Callable[..., Any]:
    @wraps(original)
    def add(self: Any, server_round: int, *args: Any, **kwargs: Any) -> Any:
        (found,) = (*args, *kwargs.values())
        if (watch := current()) is not None:
            watch.report(kind, server_round, {single: found} if single else found)
        return original(self, server_round, *args, **kwargs)

    return add


def patch_server(module: Any) -> None:
    """Patches Server.fit. The Server sends messages to each client from a separate thread."""
    original = module.Server.fit

    @wraps(original)
    def fit(self: Any, num_rounds: int, timeout: float | None) -> Any:
        watch = current()
        if watch is None:
            return original(self, num_rounds, timeout)
        set_minimums(self.strategy, number("PANAL_MIN_CLIENTS", 1))
        check_settings(watch, self.strategy)
        initial = self._get_initial_parameters
        self._get_initial_parameters = lambda *args, **kwargs: watch.warm.parameters(initial(*args, **kwargs))
        trained = TrainedRounds()
        self.fit_round = trained.counting(self.fit_round, lambda out: bool(out and out[0] is not None))
        rounds = number("PANAL_ROUNDS", num_rounds)
        watch.started(rounds)
        found = original(self, rounds, timeout)
        trained.require_model(watch)
        finish(watch, self.strategy, as_arrays(self.parameters.tensors), trained)
        return found

    module.Server.fit = fit


def patch_workflow(module: Any) -> None:
    original = module.DefaultWorkflow.__call__
    begin = module.default_init_params_workflow

    def begin_with_initial_model(grid: Any, context: Any) -> None:
        begin(grid, context)
        records = context.state.array_records
        records[PARAMETERS] = watch_of(grid).warm.parameters_in(records[PARAMETERS])

    module.default_init_params_workflow = begin_with_initial_model

    @wraps(original)
    def call(self: Any, grid: Any, context: Any) -> Any:
        watch = watch_of(grid)
        set_minimums(context.strategy, number("PANAL_MIN_CLIENTS", 1))
        context.config.num_rounds = number("PANAL_ROUNDS", context.config.num_rounds)
        check_settings(watch, context.strategy)
        trained = TrainedRounds()
        fit = self.fit_workflow

        def counting(grid: Any, context: Any) -> None:
            before = context.state.array_records.get(PARAMETERS)
            fit(grid, context)
            trained.count(context.state.array_records.get(PARAMETERS) is not before)

        self.fit_workflow = counting
        try:
            watch.started(context.config.num_rounds)
            original(self, grid, context)
        finally:
            self.fit_workflow = fit
        trained.require_model(watch)
        tensors = [array.data for array in context.state.array_records[PARAMETERS].values()]
        finish(watch, context.strategy, as_arrays(tensors), trained)

    module.DefaultWorkflow.__call__ = call


def check_settings(watch: Watch, strategy: Any) -> None:
    """Raises RunError for settings of the run that this interface cannot have, such as an initial model for a strategy whose model is not
    what it is given at the start."""
    watch.robust.refuse(watch.journal, OLDER)
    watch.secure.refuse(watch.journal, OLDER)
    update_norm.refuse(watch.journal, OLDER)
    if evaluation.wanted():
        watch.warm.refuse("only an app that calls Strategy.start can be evaluated, and this one uses Flower's older interface")
    if hasattr(strategy, "global_model"):
        watch.warm.refuse(f"{type(strategy).__name__} of Flower's older interface keeps its trees itself; use the one of flwr.serverapp")


class TrainedRounds:
    """Counts the rounds, and notes the last one that produced a model."""

    def __init__(self) -> None:
        self.rounds = 0
        self.last = 0

    def count(self, something: bool) -> None:
        self.rounds += 1
        if something:
            self.last = self.rounds

    def counting(self, original: Callable[..., Any], judge: Callable[[Any], bool]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            out = original(*args, **kwargs)
            self.count(judge(out))
            return out

        return call

    def require_model(self, watch: Watch) -> None:
        """Raises RunError if no round produced a model. Secure aggregation only logs that it has halted."""
        if self.last or not self.rounds:
            return
        message = f"None of the {self.rounds} rounds produced a model: the app's workflow stopped in each"
        watch.journal.stopped(FlowerEnding.WORKFLOW_HALTED, message)
        raise RunError(FlowerEnding.WORKFLOW_HALTED, message)


def as_arrays(tensors: Iterable[bytes]) -> dict[str, Any]:
    """Converts parameters of Flower's older interface, which are in npy format or are bytes of the app, such as trees."""
    import numpy as np
    from flwr.app import Array

    found = {}
    for number_, tensor in enumerate(tensors):
        plain = not tensor.startswith(np.lib.format.MAGIC_PREFIX)
        found[str(number_)] = Array(np.frombuffer(tensor, np.uint8) if plain else np.load(io.BytesIO(tensor), allow_pickle=False))
    return found


def finish(watch: Watch, strategy: Any, arrays: Any, trained: TrainedRounds) -> None:
    watch.close()
    if arrays:
        name, metrics = type(strategy).__name__, watch.journal.metrics(trained.rounds)
        hand_over(watch.journal, watch.grid, arrays, round_=trained.last, strategy=name, metrics=metrics)
