"""The arrays that a strategy has made so far, and what a person should know of them."""

from __future__ import annotations

import os
from typing import Any

from ..codes import Doubt, Ending
from ..files import RunError
from . import trees
from .codes import FlowerDoubt
from .journal import Journal
from .model import change, unstorable

NOT_NEEDED = ("Files", "None")  # of spec.result: what the strategy returns need not be stored
SHOWN = 5  # rounds that are named


class Made:
    """`arrays` are those of `round`; 0: the initial ones."""

    def __init__(self, strategy: Any, journal: Journal, initial: Any) -> None:
        self._strategy, self._journal = strategy, journal
        self._name = type(strategy).__name__
        self.arrays: Any = initial
        self.round = 0
        self._without: list[int] = []  # rounds since then from which the strategy returned no arrays

    def check_types(self) -> None:
        """Before anything is trained that could not be stored. Raises RunError."""
        if not self.arrays or os.environ.get("PANAL_RESULT") in NOT_NEEDED or not (told := unstorable(self.arrays)):
            return
        message = f"The model cannot be stored: {told} has a type that safetensors does not know"
        self._journal.stopped(Ending.ARRAYS_NOT_STORABLE, message)
        raise RunError(Ending.ARRAYS_NOT_STORABLE, message)

    def look_at(self, server_round: int, arrays: Any, replies: list[Any], *, trained: bool) -> None:
        """What the strategy has made of these replies; `trained`: sites were asked at all, as a strategy may only evaluate."""
        if arrays is None:
            self._without += [server_round] if trained else []
            return
        before, first = self.arrays, self.round == 0
        self.arrays, self.round, self._without = arrays, server_round, []
        if first:
            self.check_types()
            if before and (told := change(before, arrays)):
                self._journal.notice(Doubt.MODEL_CHANGED, told)
        if trees.bags(self._strategy) and (told := trees.lost_trees(before, arrays, replies)):
            self._journal.notice(FlowerDoubt.TREES_LOST, f"round {server_round}: {told}")

    def tell_rounds_without(self) -> None:
        if self._without:
            since = f"in round{'s' if len(self._without) > 1 else ''} {', '.join(map(str, self._without[-SHOWN:]))}"
            whose = f"the model is that of round {self.round}" if self.round else "there is no model"
            self._journal.notice(Doubt.NOT_AGGREGATED, f"{self._name} returned no arrays {since}; {whose}")

    def tell_none(self) -> None:
        """`start` has ended well, and there is nothing to store."""
        if self._without:
            self._journal.no_model(f"{self._name} returned no arrays in any of its {len(self._without)} rounds")
