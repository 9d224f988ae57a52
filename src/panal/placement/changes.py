"""What would make a cluster meet requirements that it does not: the smallest change for each label and claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from panal.placement.selectors import Requirement

ANY = "any"  # stands for a value that the owner chooses


@dataclass(frozen=True, slots=True)
class Change:
    """`action` is set or remove; `what` is label, claim or taint of the cluster, or field of the run. `value` is None for a removal, and
    for a value that the owner chooses."""

    action: str
    what: str
    key: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Requirements on one label or claim of which `unmet` fail. `change` is None if no value meets all of them."""

    unmet: tuple[Requirement, ...]
    change: Change | None


def gaps(requirements: Iterable[Requirement], labels: Mapping[str, str], claims: Mapping[str, str]) -> list[Gap]:
    """What a cluster with these labels and claims lacks, by label and claim."""
    by_key: dict[tuple[str, str], list[Requirement]] = {}
    for requirement in requirements:
        by_key.setdefault((requirement.subject, requirement.key), []).append(requirement)
    found = []
    for (subject, _), group in by_key.items():
        having = labels if subject == "label" else claims
        if unmet := tuple(r for r in group if not r.met(having)):
            found.append(Gap(unmet, _change(group)))
    return found


def _change(group: Sequence[Requirement]) -> Change | None:
    subject, key = group[0].subject, group[0].key
    for value in _candidates(group):
        if all(r.met({} if value is None else {key: value}) for r in group):
            chosen = None if value == ANY else value
            return Change("remove" if value is None else "set", subject, key, chosen)
    return None


def _candidates(group: Sequence[Requirement]) -> Iterator[str | None]:
    """Values that a requirement names, then any other, then none."""
    yield from sorted({value for r in group if r.operator == "In" for value in r.values})
    yield ANY
    yield None
