"""Calls a strategy's aggregation, and repeats it without a reply that makes it raise, so that one site cannot end the run for all.

Replies that differ from the majority are left out first. Flower's strategies may also raise, or return NaN, because of a single reply that
does not differ in form, such as invalid trees or too large numbers: that reply is found by leaving out each in turn. An app's own strategy
may raise on purpose, so this is not tried for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..codes import TRAIN
from ..files import log_line
from .codes import EVALUATE
from .exchange import Exchange
from .judge import Rules, not_finite
from .replies import Phase
from .update_norm import largest_norm

SUSPECTS = 64  # maximum number of replies for which each is left out in turn

Aggregate = Callable[[list[Any]], Any]


class Aggregation:
    def __init__(self, strategy: Any, exchange: Exchange) -> None:
        self._strategy, self._exchange, self._rules = strategy, exchange, exchange.judge.rules

    def __call__(self, kind: str, aggregate: Aggregate, given: list[Any], phase: Phase) -> Any:
        """Aggregates `given`, without the replies that make the strategy raise; `phase` counts these as failures. Raises the strategy's
        exception if leaving out replies does not help."""
        state = Snapshot(self._strategy)
        try:
            out = aggregate(given)
        except Exception as error:
            kept = self._exchange.without_outliers(kind, given, phase) or self._without_one(aggregate, given, phase, error, state)
            if kept is None:
                raise
            log_line(f"the strategy raised {error!r}; the aggregation is repeated without the replies that may be the cause")
            out = aggregate(kept)
        else:
            if self._is_not_finite(out) and (kept := self._without_one(aggregate, given, phase, NotFiniteError(), state)) is not None:
                out = aggregate(kept)
        self._exchange.accept(kind)
        return out

    def _without_one(self, aggregate: Aggregate, given: list[Any], phase: Phase, error: Exception, state: Snapshot) -> list[Any] | None:
        """The replies without the only one that causes the failure; the strategy's state is reset for another try. None if there is not
        exactly one such reply; then the state is left unchanged."""
        after = Snapshot(self._strategy)
        suspect = self._find_cause(aggregate, given, state)
        if suspect is None:
            after.restore()
            return None
        self._exchange.leave_out(suspect, error, phase)
        state.restore()
        return [each for each in given if each is not suspect]

    def _find_cause(self, aggregate: Aggregate, given: list[Any], state: Snapshot) -> Any:
        """The only reply without which the aggregation succeeds. With two replies, either could be the cause, so none is found."""
        suspects = [each for each in given if not each.has_error()]
        if not (self._rules.strict and self._rules.consistent and 2 < len(suspects) <= SUSPECTS):
            return None
        found = []
        for suspect in suspects:
            state.restore()
            try:
                out = aggregate([each for each in given if each is not suspect])
            except Exception:  # noqa: BLE001  this reply is not the only cause
                continue
            if not self._is_not_finite(out):
                found.append(suspect)
        return found[0] if len(found) == 1 else None

    def _is_not_finite(self, out: Any) -> bool:
        """Whether the aggregated arrays are not finite although all replies are."""
        arrays = out[0] if isinstance(out, tuple) else None
        if not (self._rules.strict and self._rules.finite and isinstance(arrays, Mapping)):
            return False
        return not any(each.infinite for each in self._exchange.got.values()) and any(not_finite(each) for each in arrays.values())


class NotFiniteError(ArithmeticError):
    """The strategy returned NaN or infinity for finite replies."""


class Snapshot:
    """A snapshot of the attributes of a strategy and its nested strategies."""

    def __init__(self, strategy: Any) -> None:
        self._of = [(each, {name: copy_of(value) for name, value in vars(each).items()}) for each in chain(strategy)]

    def restore(self) -> None:
        for each, values in self._of:
            vars(each).clear()
            vars(each).update({name: copy_of(value) for name, value in values.items()})


def copy_of(value: Any) -> Any:
    return value.copy() if type(value) in (dict, list, set) else value


def chain(strategy: Any) -> list[Any]:
    """A strategy and its nested strategies: those for differential privacy wrap another."""
    inner = getattr(strategy, "strategy", None)
    return [strategy, *(chain(inner) if inner is not None else [])]


def base_rules() -> Rules:
    """The rules of spec.server.replies, for an app's own main loop or strategy."""
    return Rules(
        consistent=os.environ.get("PANAL_REPLY_SHAPES", "Consistent") != "Any",
        finite=os.environ.get("PANAL_REPLY_NUMBERS", "Finite") != "Any",
        strict=False,
        largest_norm=largest_norm(),
    )


def strategy_rules(strategy: Any, *, alike: bool = False) -> Rules:
    """The rules of spec.server.replies with the requirements of `strategy`, and with `alike` of a method of spec.server.aggregation."""
    base = base_rules()
    return replace(
        base,
        consistent=base.consistent or alike,
        finite=base.finite or alike,
        alike=alike,
        strict=all(getattr(type(strategy), f"aggregate_{kind}").__module__.startswith("flwr.") for kind in (TRAIN, EVALUATE)),
        weighted_by=next((str(each.weighted_by_key) for each in chain(strategy) if hasattr(each, "weighted_by_key")), ""),
    )
