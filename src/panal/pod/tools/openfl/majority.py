"""Which results of a round OpenFL aggregates together. It stops at results whose names differ, and at weights that are all 0. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..codes import Refused
from ..files import shown
from .replies import LONGEST, TRAINED, Names, Verdict


@dataclass(frozen=True)
class Result:
    """What OpenFL has of one site for one task. `size` is the weight."""

    names: Names
    size: int

    @property
    def trained(self) -> bool:
        return any(TRAINED in tags for _, _, tags in self.names)


Results = Mapping[str, Result]  # of one site, by task


def outliers(done: Mapping[str, Results], before: Results | None) -> dict[str, Verdict]:
    """The sites whose results have other names than those of the majority. `done` are those that have completed all tasks, in the order in
    which they did; `before` is what the last round aggregated. Without a majority the names of the last round count, else those of the
    largest group, and of equally large ones the first."""
    groups = Counter(map(_key, done.values()))
    if len(groups) < 2:
        return {}
    key, most = groups.most_common(1)[0]
    if 2 * most <= len(done) and before is not None and _key(before) in groups:
        key = _key(before)
    wanted = next(each for each in done.values() if _key(each) == key)
    return {cluster: _difference(each, wanted) for cluster, each in done.items() if _key(each) != key}


def weightless(done: Mapping[str, Results], tasks: Iterable[str]) -> dict[str, Verdict]:
    """All sites, if the weights of a task are 0 at all of them: OpenFL would divide by their sum."""
    for task in tasks:
        if done and not any(each[task].size for each in done.values()):
            text = f"the data set of {shown(task, LONGEST)} has the size 0, and so have those of all other sites that have replied"
            return dict.fromkeys(done, (Refused.WEIGHT_INVALID, text))
    return {}


def _key(results: Results) -> frozenset[tuple[str, Names]]:
    return frozenset((task, each.names) for task, each in results.items())


def _difference(found: Results, wanted: Results) -> Verdict:
    task = next(task for task in wanted if found[task].names != wanted[task].names)
    mine, theirs = found[task].names, wanted[task].names
    missing, unknown = (sorted({name for name, _, _ in names}) for names in (theirs - mine, mine - theirs))
    only = [f"{shown(name, LONGEST)} is missing" for name in missing if name not in unknown]
    only += [f"{shown(name, LONGEST)} is unknown" for name in unknown if name not in missing]
    text = only[0] if only else f"{shown(missing[0], LONGEST)} has other tags"
    return Refused.METRICS_DIFFER, f"the results of {shown(task, LONGEST)} are not like those of most sites: {text}"
