"""Decides whether OpenFL gets the results of a task. It would stop at results that are not like those of other sites, or spoil the model.

A result is a list of named tensors, already decoded. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..codes import MAX_METRIC_NAME, Refused
from ..files import shown
from ..model import not_finite

TRAINED, METRIC = "trained", "metric"  # OpenFL's tags
LONGEST = 60  # characters of a name in a message
TENSORS = 1000  # of a result, beyond four for each of the model: metrics, statistics, and states of optimizers

Shape = tuple[int, ...]
Verdict = tuple[Refused, str]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a result. `tags` are those that the site has sent."""

    name: str
    round: int
    report: bool
    tags: frozenset[str]
    numbers: Any


@dataclass(frozen=True)
class Rules:
    """`consistent` and `finite` are spec.server.replies. `others` are the names of all clusters, which OpenFL uses as tags."""

    consistent: bool = True
    finite: bool = True
    others: Collection[str] = ()


Names = frozenset[tuple[str, bool, frozenset[str]]]


def names(tensors: Sequence[Tensor]) -> Names:
    """What must be equal in the results of all sites for one task: names, tags, and what is a metric."""
    return frozenset((each.name, each.report, each.tags) for each in tensors)


def refused(task: str, size: int, round_: int, tensors: Sequence[Tensor], model: Mapping[str, Shape], rules: Rules) -> Verdict | None:
    """Why the results of `task` with the weight `size` are refused; None if they are not. `model` has the shapes of the model's tensors."""
    if not weight_fits(task, size):
        return Refused.WEIGHT_INVALID, f"{size} is no number of samples"
    if len({(each.name, each.tags) for each in tensors}) < len(tensors):
        return Refused.REPLY_INVALID, "two tensors have one name"
    for each in tensors:
        if verdict := _tensor(each, round_, model, rules):
            return verdict
    trained = {each.name for each in tensors if TRAINED in each.tags}
    if rules.consistent and trained and (missing := sorted(model.keys() - trained)):
        return Refused.ARRAYS_DIFFER, f"{shown(missing[0], LONGEST)} is missing"
    return None


def too_many(count: int, model: Mapping[str, Shape]) -> bool:
    """Whether a result has too many tensors to decode them: OpenFL's time grows with the square of their number."""
    return count > 4 * len(model) + TENSORS


def weight_fits(task: str, size: int) -> bool:
    """OpenFL weights by samples in tasks whose names contain `train` or `valid`, and equally in others, for which sites send -1."""
    return size >= 0 if "train" in task or "valid" in task else size == -1


def _tensor(tensor: Tensor, round_: int, model: Mapping[str, Shape], rules: Rules) -> Verdict | None:
    name = shown(tensor.name, LONGEST)
    if tensor.round != round_ or not tensor.tags.isdisjoint(rules.others):
        return Refused.REPLY_INVALID, f"{name} is not for this round, or for another cluster"
    if len(tensor.name) > MAX_METRIC_NAME and tensor.name not in model:
        return Refused.REPLY_INVALID, f"the name {name} has more than {MAX_METRIC_NAME} characters"
    # OpenFL calls float() for a metric, which numpy 2.4 allows only for arrays without axes.
    if (tensor.report or METRIC in tensor.tags) and tensor.numbers.shape != ():
        found = tuple(tensor.numbers.shape)
        return Refused.REPLY_INVALID, f"the metric {name} has the shape {found}, and must be a single number, as numpy.array(0.5) is"
    if TRAINED not in tensor.tags:
        return None
    if rules.finite and not_finite(tensor.numbers):
        return Refused.NOT_FINITE, f"{name} has numbers that are not finite"
    wanted = model.get(tensor.name)
    if rules.consistent and wanted is not None and tuple(tensor.numbers.shape) != wanted:
        return Refused.ARRAYS_DIFFER, f"{name} has the shape {tuple(tensor.numbers.shape)}, not {wanted}"
    return None
