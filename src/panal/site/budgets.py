"""The privacy budgets of the site's data (`spec.privacyBudgets`): what updates have cost, and what those that are planned may still cost.

What an update (`accounts.is_update`) costs depends on the noise multiplier of its run alone, so that the updates of
all runs add up exactly (`panal.privacy.accountant`). A run spends from each budget whose data is a part of what it mounts, or contains it.
It starts only if everything that it plans fits, beside what the other runs that work here may still spend; so a run that keeps to its plan
is not stopped in the middle by another one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from panal.api import names
from panal.privacy.accountant import composed, rounded_up
from panal.privacy.limits import DELTA
from panal.site.policy import PrivacyBudget

LEAST_NOISE = 0.001  # as in spec.privacy.differentialPrivacy; less is none
MOST_PLANNED = 2**31  # updates

Source = tuple[str, float]  # the data of updates, and their noise multiplier (0: they are not protected)


@dataclass(frozen=True, slots=True)
class Terms:
    """Of a request: its data, its noise multiplier (0: its updates are not protected), and how many updates it plans (0: it does not
    say)."""

    data: str = ""
    noise: float = 0.0
    planned: int = 0


@dataclass(frozen=True, slots=True)
class Spender:
    """A run. `updates` have left the site, `wanted` includes one that was refused. `terms`: of a run that is allowed and has not ended."""

    updates: int = 0
    wanted: int = 0
    terms: Terms | None = None

    @property
    def more(self) -> int:
        """The updates that it may still send."""
        return max(self.terms.planned, self.wanted, self.updates) - self.updates if self.terms else 0


NOBODY = Spender()


@dataclass(frozen=True, slots=True)
class Usage:
    """`spent`: the updates of all runs that have left the site. `runs`: at least those that have not ended, by `accounts.key_of`."""

    spent: Mapping[Source, int] = field(default_factory=dict)
    runs: Mapping[str, Spender] = field(default_factory=dict)

    def allowing(self, run: str, terms: Terms) -> Usage:
        """What it would be if the run were allowed."""
        return replace(self, runs={**self.runs, run: replace(self.runs.get(run, NOBODY), terms=terms)})

    def wanting(self, run: str, updates: int) -> Usage:
        """What it would be if the run asked for so many updates in all. What others have asked for in vain reserves nothing."""
        found = self.runs.get(run, NOBODY)
        return replace(self, runs={**self.runs, run: replace(found, wanted=max(found.updates, updates))})

    def without(self, run: str) -> Usage:
        """Without what the run may still spend."""
        return replace(self, runs={key: each for key, each in self.runs.items() if key != run})


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a budget: `spent` is the ε of the updates that have left, `planned` that of these and all that runs here may still send, both
    rounded up. `updates` that have noise are in it; `unprotected` ones have none, and are in no ε."""

    budget: PrivacyBudget
    spent: float
    planned: float
    updates: int
    unprotected: int

    def record(self) -> dict[str, Any]:
        """As JSON. `reserved`: by how much ε grows if the runs that are here send all that they plan."""
        return {
            "data": self.budget.data,
            "delta": delta_of(self.budget),
            "limit": self.budget.epsilon,
            "spent": self.spent,
            "reserved": rounded_up(self.planned - self.spent),
            "updates": self.updates,
            "unprotected": self.unprotected,
        }


def figures(budget: PrivacyBudget, usage: Usage) -> Figures:
    spent = Counter({source: number for source, number in usage.spent.items() if overlap(budget.data, source[0])})
    planned = Counter(spent)
    for run in usage.runs.values():
        if run.terms and overlap(budget.data, run.terms.data):
            planned[run.terms.data, run.terms.noise] += run.more
    protected = sum(number for (_, noise), number in spent.items() if noise)
    return Figures(budget, _epsilon(spent, budget), _epsilon(planned, budget), protected, spent.total() - protected)


def _epsilon(updates: Mapping[Source, int], budget: PrivacyBudget) -> float:
    return rounded_up(composed(((number, noise) for (_, noise), number in updates.items() if noise), delta_of(budget)))


def delta_of(budget: PrivacyBudget) -> float:
    return budget.delta or DELTA


def overspent(budgets: Iterable[PrivacyBudget], usage: Usage, run: str, terms: Terms) -> str:
    """What would be spent of the first budget that a run with these terms does not fit into; empty if it fits into all."""
    for budget in budgets:
        if not overlap(budget.data, terms.data):
            continue
        with_it = usage.allowing(run, terms)
        found = figures(budget, with_it)
        if found.planned > budget.epsilon:
            others, more = figures(budget, usage.without(run)).planned, with_it.runs[run].more
            return (
                f"the privacy budget of {budget.data} is ε {budget.epsilon:g} for δ {delta_of(budget):g}: {found.spent:g} is spent, "
                f"{others:g} with what other runs here may still spend, {found.planned:g} with {more} more updates of this run"
            )
    return ""


def terms(data: str, privacy: str) -> Terms:
    """`privacy`: how updates are protected, as JSON; empty if they are not. What is not as the hub writes it counts as no protection."""
    try:
        found = json.loads(privacy or "{}")
        noise, planned = found.get("noiseMultiplier"), found.get("plannedUpdates")
        noise = float(noise) if isinstance(noise, int | float) and not isinstance(noise, bool) else 0.0
    except (ValueError, AttributeError, OverflowError, RecursionError):
        return Terms(data)
    known = isinstance(planned, int) and not isinstance(planned, bool) and 0 < planned <= MOST_PLANNED
    return Terms(data, noise if LEAST_NOISE <= noise < float("inf") else 0.0, planned if known else 0)


def overlap(one: str, other: str) -> bool:
    """Whether one location is the other, or a part of it. Of a bucket, how it is reached does not count."""
    if not one or not other or names.NO_DATA in (one, other):
        return (one or names.NO_DATA) == (other or names.NO_DATA)
    return all(a == b for a, b in zip(_steps(one), _steps(other)))


def _steps(location: str) -> list[str]:
    """The scheme, and the names on the path from it."""
    scheme, _, path = ("", "", location) if location.startswith("/") else location.partition("://")
    path = path.partition("?")[0] if scheme == "s3" else path
    return [scheme, *(name for name in path.split("/") if name not in ("", "."))]
