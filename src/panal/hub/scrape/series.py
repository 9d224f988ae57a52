"""All series that are derived from the hub, within the limit MAX_SERIES. Pure.

The certificates come first, then each run as a whole, then the clusters of each run, all of them or none. Older runs come before newer
ones, so that a run that has series keeps them. How many runs are left out is a metric itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric

from panal.api.status import Phase
from panal.hub.scrape import clusters, runs
from panal.hub.scrape import families as f
from panal.hub.scrape.families import Family
from panal.hub.scrape.runs import RunState, Series
from panal.hub.scrape.snapshot import Snapshot

MAX_SERIES = 50_000  # apart from those of the controller and the authorities, which are few
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)  # what reading a status of another form raises


def families(snapshot: Snapshot, most: int = MAX_SERIES) -> Iterator[Metric]:
    """In the order of `panal.hub.scrape.families.ALL`; those without series as well, for their meaning."""
    found: dict[Family, list[Series]] = defaultdict(list)
    for each in series(snapshot, most):
        found[each.family].append(each)
    for family in f.ALL:
        metric = Metric(family.name.removesuffix("_total"), family.meaning, family.type)
        for _, values, value in found.pop(family, ()):
            metric.add_sample(family.name, dict(zip(family.labels, values, strict=True)), value)
        yield metric


def series(snapshot: Snapshot, most: int = MAX_SERIES) -> Iterator[Series]:
    yield from _of_the_controller(snapshot)
    yield from clusters.of_authorities(snapshot.authorities)
    certificates = list(clusters.of_certificates(snapshot.addons))[:most]
    yield from certificates
    limited = _Limited(most - len(certificates))
    ordered = sorted(snapshot.runs, key=lambda run: (str(run.resource["metadata"].get("creationTimestamp", "")), run.key))
    yield from limited.of(ordered, "run", runs.of_run)
    going = [run for run in ordered if not run.ended]
    yield from limited.of(going, "clusters", lambda run: runs.of_clusters(run, snapshot.clusters))
    for part in ("run", "clusters", "unreadable"):
        yield Series(f.WITHOUT_SERIES, (part,), float(limited.left_out[part]))


class _Limited:
    """Series while there is room for them. `left_out`: the number of runs whose series were left out, by what was left out and why."""

    def __init__(self, room: int) -> None:
        self.left_out: Counter[str] = Counter()
        self._room = room
        self._without: set[tuple[str, str]] = set()
        self._unreadable: set[tuple[str, str]] = set()

    def of(self, found: Iterable[RunState], part: str, derive: Callable[[RunState], Iterable[Series]]) -> Iterator[Series]:
        full = False
        for run in found:
            if run.key in self._unreadable:
                continue
            own = self._derived(run, derive) if not full else []
            full = full or len(own) > self._room
            if full or run.key in self._without:
                self._without.add(run.key)
                self.left_out[part] += 1
                continue
            self._room -= len(own)
            yield from own

    def _derived(self, run: RunState, derive: Callable[[RunState], Iterable[Series]]) -> list[Series]:
        try:
            return list(derive(run))
        except UNREADABLE:
            self._unreadable.add(run.key)
            self.left_out["unreadable"] += 1
            return []


def _of_the_controller(snapshot: Snapshot) -> Iterator[Series]:
    for name, waiting in sorted(snapshot.queues.items()):
        yield Series(f.QUEUE_KEYS, (name,), float(waiting.keys))
        yield Series(f.QUEUE_AGE, (name,), waiting.seconds)
    often = Counter(snapshot.phases)
    for phase in Phase:
        yield Series(f.RUNS, (phase,), float(often[phase]))
    yield Series(f.LIFETIME, ("cluster",), snapshot.times.leaf.total_seconds())
    yield Series(f.LIFETIME, ("authority",), snapshot.times.life.total_seconds())
