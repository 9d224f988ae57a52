"""Aggregates the updates of a training by a method of `spec.server.aggregation`, in place of the mean of the app's strategy.

The strategy gets the replies with the same arrays in all of them: the result of the method. The mean of equal arrays is that array, so a
strategy that averages goes on with the result, whatever it does then: server optimizers, its own metrics, what the app adds. It never sees
the updates themselves. Strategies that do not average, and apps whose updates do not pass through one, are refused.

A method needs a minimum of updates (`methods.fewest`). With fewer, a round fails as it does without the quorum.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..codes import TRAIN
from ..files import RunError, log_line, number, shown
from ..model import LONGEST_NAME, named, type_name
from .aggregation import Aggregate
from .blocks import Numbers, blocks
from .codes import FlowerEnding
from .journal import Journal
from .judge import NUMPY
from .methods import FLOATS, SELECTING, Method, combined, fewest, selected, squared_distances
from .replies import Clusters, Phase

FIELD = "spec.server.aggregation.method"
AVERAGING = ("FedAvg", "FedProx", "FedAvgM", "FedOpt", "FedAdam", "FedAdagrad", "FedYogi")  # strategies of Flower that use the mean
COUNTS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
MEAN = "flwr.serverapp.strategy.fedavg", "aggregate_arrayrecords"  # where Flower's strategies find the function that averages

Where = tuple[str, str]  # the name of a record, and of an array in it


class TooFewError(ArithmeticError):
    """Fewer updates than the method needs."""


@dataclass(frozen=True)
class Robust:
    """The method of the run; `byzantine`: how many updates may be anything."""

    method: Method = Method.APP
    byzantine: int = 0

    @classmethod
    def of_the_run(cls) -> Robust:
        return cls(Method(os.environ.get("PANAL_AGGREGATION") or Method.APP), number("PANAL_BYZANTINE_CLIENTS", 0))

    @property
    def wanted(self) -> bool:
        return self.method is not Method.APP

    @property
    def fewest(self) -> int:
        return fewest(self.method, self.byzantine)

    def __str__(self) -> str:
        return f"{self.method} with {self.byzantine} Byzantine client{'' if self.byzantine == 1 else 's'}"

    def require(self, journal: Journal, strategy: Any, arrays: Mapping[str, Any] | None, *, own_start: bool) -> None:
        """Raises RunError if the method cannot aggregate the model `arrays` in place of `strategy`."""
        if why := unsuited(strategy, arrays or {}, own_start=own_start):
            self.refuse(journal, why)

    def refuse(self, journal: Journal, why: str) -> None:
        """Raises RunError if the run wants a method."""
        if self.wanted:
            message = f"{FIELD}: {self.method} is not possible: {why}"
            journal.stopped(FlowerEnding.AGGREGATION_NOT_POSSIBLE, message)
            raise RunError(FlowerEnding.AGGREGATION_NOT_POSSIBLE, message)

    def in_place_of_the_mean(self, kind: str, aggregate: Aggregate, clusters: Clusters, phase: Phase) -> Aggregate:
        """`aggregate`, a strategy's own aggregation of a phase's replies, with the arrays of a training replaced. `phase` gets the clusters
        that the method has selected. Raises TooFewError."""
        if kind != TRAIN or not self.wanted:
            return aggregate

        def aggregated(replies: list[Any]) -> Any:
            updates = [reply for reply in replies if reply.has_content()]
            if not updates:
                return aggregate(replies)
            arrays, kept = self.combine([reply.content for reply in updates])
            if self.method in SELECTING:
                phase.selected = [clusters.of(updates[index].metadata.src_node_id) for index in kept]
                log_line(f"{self} selects {', '.join(phase.selected)}")
            with exact_mean():
                return aggregate([with_arrays(reply, arrays) if reply.has_content() else reply for reply in replies])

        return aggregated

    def combine(self, contents: Sequence[Any]) -> tuple[dict[str, Any], Sequence[int]]:
        """The ArrayRecords of the result by name, and the indices of the contents that are in it. The contents have the same arrays: the
        judge refuses others. Raises TooFewError."""
        if len(contents) < self.fewest:
            raise TooFewError(f"{self} needs {self.fewest} updates, and there are {len(contents)}")
        names = [(record, name) for record, found in contents[0].array_records.items() for name in found]
        arrays = {where: [content.array_records[where[0]][where[1]] for content in contents] for where in names}
        if why := unsuited_arrays({f"{record}/{name}": each[0] for (record, name), each in arrays.items()}):
            raise ValueError(why)
        kept: Sequence[int] = range(len(contents))
        if self.method in SELECTING:
            kept = selected(self.method, self.byzantine, self._distances(arrays))
        records: dict[str, dict[str, Any]] = {record: {} for record in contents[0].array_records}
        for (record, name), each in arrays.items():
            records[record][name] = type(each[0]).from_numpy_ndarray(self._combined(each, kept))
        return {record: type(contents[0].array_records[record])(found) for record, found in records.items()}, kept

    def _distances(self, arrays: Mapping[Where, Sequence[Any]]) -> Any:
        floats = [each for each in arrays.values() if type_name(each[0]) in FLOATS]
        return sum(squared_distances(rows) for each in floats for _, rows in blocks(each))

    def _combined(self, arrays: Sequence[Any], kept: Sequence[int]) -> Any:
        """One numpy array of several; integers are those of all updates, which no distance has examined."""
        import numpy as np

        first = Numbers(arrays[0])
        of = [arrays[index] for index in kept] if type_name(arrays[0]) in FLOATS else arrays
        found = np.empty(first.count, first.dtype.newbyteorder("="))
        for at, rows in blocks(of):
            found[at : at + rows.shape[1]] = combined(self.method, self.byzantine, rows)
        return found.reshape(first.shape)


def unsuited(strategy: Any, arrays: Mapping[str, Any], *, own_start: bool) -> str:
    """Why no method can replace the mean of a strategy, or aggregate these arrays; empty if one can."""
    name = type(strategy).__name__
    if own_start:
        return f"{name} has a start of its own, which may use updates in another way"
    if getattr(strategy, "strategy", None) is not None:
        return f"{name} changes what another strategy aggregates"
    flowers = next((base.__name__ for base in type(strategy).__mro__ if base.__module__.startswith("flwr.")), "")
    if flowers not in AVERAGING:
        return f"{name} does not average updates as FedAvg does"
    return unsuited_arrays(arrays) if arrays else ""


def unsuited_arrays(arrays: Mapping[str, Any]) -> str:
    """Why no method can combine arrays like these."""
    for name, array in arrays.items():
        kind = type_name(array)
        if kind == "uint8" and len(array.shape) == 1:
            return f"the array {named([name])} holds bytes, such as trees"
        if array.stype != NUMPY or kind not in (*FLOATS, *COUNTS):
            return f"the array {named([name])} is {shown(kind, LONGEST_NAME)}"
    return "" if any(type_name(array) in FLOATS for array in arrays.values()) else "there are no floating-point arrays"


def with_arrays(reply: Any, arrays: Mapping[str, Any]) -> Any:
    """A copy of the reply with other arrays."""
    made = copy.copy(reply)
    made.content = type(reply.content)({**dict(reply.content.items()), **arrays})
    return made


@contextmanager
def exact_mean() -> Iterator[None]:
    """Lets Flower's mean of equal arrays be that array to the last bit: weights add to 1 only nearly, and an average of integers is none.
    Without that function the result differs by rounding."""
    module = sys.modules.get(MEAN[0])
    original = getattr(module, MEAN[1], None)
    if original is None:
        yield
        return

    def mean(records: Any, *args: Any, **kwargs: Any) -> Any:
        found = {id(each): each for record in records for each in record.array_records.values()}
        (first, *others) = found.values()
        return original(records, *args, **kwargs) if others else type(first)(dict(first.items()))

    setattr(module, MEAN[1], mean)
    try:
        yield
    finally:
        setattr(module, MEAN[1], original)
