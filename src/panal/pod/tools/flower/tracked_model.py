"""The arrays that a strategy has aggregated so far, and notices about them."""

from __future__ import annotations

import os
from typing import Any

from ..codes import Doubt, Ending
from ..files import RunError
from . import trees
from .codes import FlowerDoubt
from .journal import Journal
from .model import change, unstorable

NOT_NEEDED = ("Files", "None")  # values of spec.result that need no model
SHOWN = 5  # rounds that are named


class TrackedModel:
    """`arrays` are the result of `round`; round 0 stands for the initial arrays."""

    def __init__(self, strategy: Any, journal: Journal, initial: Any) -> None:
        self._strategy, self._journal = strategy, journal
        self._name = type(strategy).__name__
        self.arrays: Any = initial
        self.round = 0
        self.without: list[int] = []  # later rounds in which the strategy returned no arrays

    def check_types(self) -> None:
        """Raises RunError if the run needs a model and these arrays cannot be stored."""
        if not self.arrays or os.environ.get("PANAL_RESULT") in NOT_NEEDED or not (text := unstorable(self.arrays)):
            return
        message = f"The model cannot be stored: {text} has a type that safetensors does not know"
        self._journal.stopped(Ending.ARRAYS_NOT_STORABLE, message)
        raise RunError(Ending.ARRAYS_NOT_STORABLE, message)

    def update(self, server_round: int, arrays: Any, replies: list[Any], *, trained: bool) -> None:
        """Keeps the arrays that the strategy aggregated from `replies` and writes notices about them. `trained`: the round had a training
        phase; a strategy may only evaluate."""
        if arrays is None:
            self.without += [server_round] if trained else []
            return
        before, first = self.arrays, self.round == 0
        self.arrays, self.round, self.without = arrays, server_round, []
        if first:
            self.check_types()
            if before and (text := change(before, arrays)):
                self._journal.notice(Doubt.MODEL_CHANGED, text)
        if trees.is_bagging(self._strategy) and (text := trees.lost_trees(before, arrays, replies)):
            self._journal.notice(FlowerDoubt.TREES_LOST, f"round {server_round}: {text}")

    def report_rounds_without_arrays(self) -> None:
        if self.without:
            since = f"in round{'s' if len(self.without) > 1 else ''} {', '.join(map(str, self.without[-SHOWN:]))}"
            whose = f"the model is that of round {self.round}" if self.round else "there is no model"
            self._journal.notice(Doubt.NOT_AGGREGATED, f"{self._name} returned no arrays {since}; {whose}")

    def report_no_model(self) -> None:
        """`start` succeeded without arrays."""
        if self.without:
            self._journal.no_model(f"{self._name} returned no arrays in any of its {len(self.without)} rounds")
