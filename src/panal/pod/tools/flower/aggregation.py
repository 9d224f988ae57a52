"""Asks a strategy to aggregate, and asks again without a reply at which it raises: one site must not end the run for all.

Replies that are unlike the others go first. Flower's own strategies may raise at replies that are all alike, such as trees that are none,
or make NaN of numbers that are too large: then the one reply is looked for without which all is well. A strategy of the user's own may
raise because it means to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..codes import TRAIN
from ..files import say
from .codes import EVALUATE
from .exchange import Exchange
from .judge import Rules, not_finite
from .replies import Phase

SUSPECTS = 64  # replies of which each is left out once, at most

Aggregate = Callable[[list[Any]], Any]


class Aggregation:
    def __init__(self, strategy: Any, exchange: Exchange) -> None:
        self._strategy, self._exchange, self._rules = strategy, exchange, exchange.judge.rules

    def __call__(self, kind: str, aggregate: Aggregate, given: list[Any], phase: Phase) -> Any:
        """What `aggregate` makes of `given`, or of all but those that `phase` then names. Raises what it raises if that is no help."""
        state = State(self._strategy)
        try:
            out = aggregate(given)
        except Exception as error:
            kept = self._exchange.without_odd_ones(kind, given, phase) or self._without_one(aggregate, given, phase, error, state)
            if kept is None:
                raise
            say(f"the strategy raised {error!r}; the aggregation is repeated without the replies that may be the cause")
            out = aggregate(kept)
        else:
            if self._is_spoilt(out) and (kept := self._without_one(aggregate, given, phase, NotFiniteError(), state)) is not None:
                out = aggregate(kept)
        self._exchange.took(kind)
        return out

    def _without_one(self, aggregate: Aggregate, given: list[Any], phase: Phase, error: Exception, state: State) -> list[Any] | None:
        """The replies but the one without which all is well, for a strategy as it was. If there is not exactly one: None, and the strategy
        as it is now."""
        after = State(self._strategy)
        suspect = self._culprit(aggregate, given, state)
        if suspect is None:
            after.restore()
            return None
        self._exchange.leave_out(suspect, error, phase)
        state.restore()
        return [each for each in given if each is not suspect]

    def _culprit(self, aggregate: Aggregate, given: list[Any], state: State) -> Any:
        """Of two replies either could be it, so neither is."""
        suspects = [each for each in given if not each.has_error()]
        if not (self._rules.strict and self._rules.consistent and 2 < len(suspects) <= SUSPECTS):
            return None
        found = []
        for suspect in suspects:
            state.restore()
            try:
                out = aggregate([each for each in given if each is not suspect])
            except Exception:  # noqa: BLE001  not this one, or not this one alone
                continue
            if not self._is_spoilt(out):
                found.append(suspect)
        return found[0] if len(found) == 1 else None

    def _is_spoilt(self, out: Any) -> bool:
        """Whether the model holds numbers that are not finite, made of replies that are."""
        arrays = out[0] if isinstance(out, tuple) else None
        if not (self._rules.strict and self._rules.finite and isinstance(arrays, Mapping)):
            return False
        return not any(each.infinite for each in self._exchange.got.values()) and any(not_finite(each) for each in arrays.values())


class NotFiniteError(ArithmeticError):
    """The strategy has made NaN or infinity of what the sites sent."""


class State:
    """What a strategy, and the one within it, had before it was asked."""

    def __init__(self, strategy: Any) -> None:
        self._of = [(each, {name: copied(value) for name, value in vars(each).items()}) for each in chain(strategy)]

    def restore(self) -> None:
        for each, values in self._of:
            vars(each).clear()
            vars(each).update({name: copied(value) for name, value in values.items()})


def copied(value: Any) -> Any:
    return value.copy() if type(value) in (dict, list, set) else value


def chain(strategy: Any) -> list[Any]:
    """A strategy, and those within it: the ones for differential privacy wrap another."""
    inner = getattr(strategy, "strategy", None)
    return [strategy, *(chain(inner) if inner is not None else [])]


def asked() -> Rules:
    """What spec.server.replies asks of replies, for an app's own main loop or strategy."""
    return Rules(
        consistent=os.environ.get("PANAL_REPLY_SHAPES", "Consistent") != "Any",
        finite=os.environ.get("PANAL_REPLY_NUMBERS", "Finite") != "Any",
        strict=False,
    )


def rules(strategy: Any) -> Rules:
    """The same, and what this strategy needs."""
    return replace(
        asked(),
        strict=all(getattr(type(strategy), f"aggregate_{kind}").__module__.startswith("flwr.") for kind in (TRAIN, EVALUATE)),
        weighted_by=next((str(each.weighted_by_key) for each in chain(strategy) if hasattr(each, "weighted_by_key")), ""),
    )
