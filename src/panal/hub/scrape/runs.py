"""The series of one run, from its resource and the traffic of its gateway. Pure.

Bounded: MAX_CLUSTERS clusters, those of the status first, and MAX_METRICS names of metrics. Texts of others are label values, escaped and
cut by `panal.api.text`. The traffic is in a ConfigMap that others in the namespace can write: it is ignored as a whole if it has not the
right form, and so are clusters that the hub does not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from panal.api.progress import ranked
from panal.api.status import ENDED, MAX_COLLABORATORS
from panal.api.text import name as unique
from panal.gateway.traffic import of_text
from panal.hub.scrape import families as f
from panal.hub.scrape.families import Family
from panal.kube.objects import Object, condition

MAX_CLUSTERS = MAX_COLLABORATORS
MAX_METRICS = 4
MAX_LABEL = 64  # characters
KEPT = timedelta(hours=1)  # after its end a run has its status, so that an alert can name it


class Series(NamedTuple):
    """`labels`: the values, in the order of the family's labels."""

    family: Family
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class RunState:
    """`traffic`: as the reporter wrote it. `round_since`: since when the number of completed rounds has not changed, if it runs."""

    resource: Object
    traffic: str = ""
    round_since: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        metadata = self.resource["metadata"]
        return metadata["namespace"], metadata["name"]

    @property
    def status(self) -> Object:
        return self.resource.get("status") or {}

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or "Waiting")

    @property
    def ended(self) -> bool:
        return self.phase in ENDED


def is_shown(run: Object, now: datetime) -> bool:
    """Whether a run has series: it goes on, or has ended in the last hour."""
    status = run.get("status") or {}
    if (status.get("phase") or "Waiting") not in ENDED:
        return True
    try:
        return datetime.fromisoformat(status.get("completionTime") or "") > now - KEPT
    except (ValueError, TypeError):
        return False


def of_run(run: RunState) -> Iterator[Series]:
    """The series of the run as a whole, at most MAX_OF_A_RUN."""
    status, key = run.status, run.key
    reason = str(condition(run.resource, "Progressing").get("reason") or "")
    yield Series(f.STATUS, (*key, run.phase, unique(reason, MAX_LABEL)), 1.0)
    if run.ended:
        return
    rounds, clients = status.get("rounds") or {}, status.get("clients") or {}
    values = (
        (f.ROUNDS_COMPLETED, rounds.get("completed", 0)),
        (f.ROUNDS_PLANNED, rounds.get("total", 0)),
        (f.ROUND_DURATION, rounds.get("seconds")),
        (f.ROUND_TIME, run.round_since),
        (f.REPLIES, rounds.get("replies", 0)),
        (f.REPLY_FAILURES, rounds.get("failures", 0)),
        (f.RESTARTS, (status.get("restarts") or {}).get("count", 0)),
    )
    yield from (Series(family, key, float(value)) for family, value in values if value is not None)
    for state in ("selected", "ready", "failed"):
        yield Series(f.CLUSTERS, (*key, state), float(clients.get(state, 0)))
    metrics = _metrics(status)
    yield from _of_metrics(f.METRIC, key, metrics, ranked(metrics)[:MAX_METRICS])
    if strangers := of_text(run.traffic).get(""):
        yield Series(f.STRANGERS_REFUSED, key, float(strangers.refused))


def of_clusters(run: RunState, known: Collection[str]) -> Iterator[Series]:
    """The series of the run's clusters, at most MAX_OF_CLUSTERS. `known`: the clusters that the hub has."""
    if run.ended:
        return
    collaborators = (run.status.get("collaborators") or [])[:MAX_CLUSTERS]
    shown = common(map(_metrics, collaborators))
    for each in collaborators:
        yield from _of_collaborator((*run.key, str(each["cluster"])), each, shown)
    traffic = of_text(run.traffic)
    listed = [str(each["cluster"]) for each in collaborators]
    others = sorted(cluster for cluster in traffic.keys() - set(listed) if cluster in known)
    for cluster in (*listed, *others)[:MAX_CLUSTERS]:
        if found := traffic.get(cluster):
            key = (*run.key, cluster)
            yield Series(f.REQUESTS, key, float(found.requests))
            yield Series(f.REFUSED, key, float(found.refused))
            yield Series(f.RECEIVED, key, float(found.bytes_received))
            yield Series(f.SENT, key, float(found.bytes_sent))


def common(metrics: Iterable[Mapping[str, float]]) -> list[str]:
    """The names of metrics that most clusters have, so that one cluster cannot displace those of the others."""
    often = Counter(name for each in metrics for name in each)
    return sorted(ranked(often), key=lambda name: -often[name])[:MAX_METRICS]


def _of_collaborator(key: tuple[str, ...], found: Object, shown: Iterable[str]) -> Iterator[Series]:
    yield Series(f.CLUSTER_STATUS, (*key, *(unique(str(found.get(field) or ""), MAX_LABEL) for field in ("state", "reason"))), 1.0)
    yield Series(f.CLUSTER_ROUND, key, float(found.get("round", 0)))
    if (seconds := found.get("seconds")) is not None:
        yield Series(f.CLUSTER_SECONDS, key, float(seconds))
    yield from _of_metrics(f.CLUSTER_METRIC, key, _metrics(found), shown)


def _of_metrics(family: Family, key: tuple[str, ...], metrics: Mapping[str, float], shown: Iterable[str]) -> Iterator[Series]:
    return (Series(family, (*key, unique(name, MAX_LABEL)), metrics[name]) for name in shown if name in metrics)


def _metrics(found: Mapping[str, Any]) -> dict[str, float]:
    """Of a status or a collaborator in it: also those that are not finite, which Prometheus knows."""
    both = {**(found.get("metrics") or {}), **(found.get("nonFiniteMetrics") or {})}
    return {name: float(value) for name, value in both.items()}


MAX_OF_A_RUN = 12 + MAX_METRICS
MAX_OF_CLUSTERS = MAX_CLUSTERS * (7 + MAX_METRICS)
