"""The rows of the lists, from objects in the cache. Pure.

A row is made once for each change of its object, and has all that filters and orders compare, so that a list of thousands is quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panal.addon import issued
from panal.api import names
from panal.api.figures import left, moment, quantity
from panal.api.spec import Mode
from panal.api.status import Phase
from panal.api.text import shown
from panal.kube.objects import Object, condition, holds, labels_of

PHASES = tuple(Phase)
STATES_OF_ADDON = ("Ready", "Not ready", "Unknown", "None", "Revoked")


@dataclass(frozen=True, slots=True)
class RunRow:
    """`seconds`: the durations of the last rounds, as far as they have been seen. `clusters`: those that the status names.
    `image`: the aggregator's. `trained`: how many seconds each cluster trained the last time, `failing`: those that failed last."""

    namespace: str
    name: str
    uid: str
    phase: str
    suspended: bool
    stopping: bool
    evaluates: bool
    message: str
    metric: str
    completed: int
    total: int
    ready: int
    selected: int
    failed: int
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    seconds: tuple[float, ...]
    clusters: frozenset[str]
    image: str
    trained: Mapping[str, float]
    failing: frozenset[str]
    text: str

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def progress(self) -> float:
        return self.completed / self.total if self.total else 0.0

    @property
    def left(self) -> float | None:
        if self.phase != "Running" or self.suspended:
            return None
        return left(self.seconds, self.completed, self.total)


def run_row(run: Object, before: RunRow | None = None) -> RunRow:
    metadata, spec, status = run["metadata"], run.get("spec") or {}, run.get("status") or {}
    rounds, clients = _part(status, "rounds"), _part(status, "clients")
    namespace, name, metric = metadata["namespace"], metadata["name"], shown(str(status.get("headlineMetric") or ""), 80)
    found = [each for each in status.get("collaborators") or () if isinstance(each, Mapping)]
    clusters = frozenset(str(each.get("cluster")) for each in found)
    return RunRow(
        namespace=namespace,
        name=name,
        uid=str(metadata.get("uid", "")),
        phase=phase if (phase := status.get("phase")) in PHASES else "Waiting",
        suspended=bool(spec.get("suspend")),
        stopping=bool(spec.get("stop")),
        evaluates=spec.get("mode") == Mode.EVALUATE,
        message=shown(str(status.get("message") or ""), 300),
        metric=metric,
        completed=_count(rounds, "completed"),
        total=_count(rounds, "total") or _count(_part(spec, "server"), "rounds"),
        ready=_count(clients, "ready"),
        selected=_count(clients, "selected"),
        failed=_count(clients, "failed"),
        created=moment(metadata.get("creationTimestamp")),
        started=moment(status.get("startTime")),
        ended=moment(status.get("completionTime")),
        seconds=_seconds(str(metadata.get("uid", "")), rounds, before),
        clusters=clusters,
        image=shown(str(_part(spec, "server").get("image") or ""), 300),
        trained={str(each.get("cluster")): float(each["seconds"]) for each in found if isinstance(each.get("seconds"), int | float)},
        failing=frozenset(str(each.get("cluster")) for each in found if each.get("state") == "Failed"),
        text=f"{namespace}/{name} {metric}".lower(),
    )


def _seconds(uid: str, rounds: Mapping[str, Any], before: RunRow | None) -> tuple[float, ...]:
    """The status has the last round only, so earlier ones are kept from the row before."""
    last = rounds.get("seconds")
    known = before.seconds if before and before.uid == uid else ()
    if not isinstance(last, int | float):
        return known
    if before and before.uid == uid and before.completed == _count(rounds, "completed"):
        return (*known[:-1], float(last))
    return (*known, float(last))[-5:]


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """`available` is None if it is not known. `addon`: a short word on the add-on, `why` its message. `until`: when the last certificate
    that is not revoked ends, `overdue`: from when on a newer one should be there. `scores`: how much is free, from 0 to 100, by
    resource."""

    name: str
    cluster_set: str
    accepted: bool
    available: bool | None
    version: str
    labels: tuple[tuple[str, str], ...]
    claims: tuple[tuple[str, str], ...]
    taints: tuple[str, ...]
    allocatable: Mapping[str, float]
    created: datetime | None
    addon: str
    why: str
    until: datetime | None
    overdue: datetime | None
    revoked: str
    scores: Mapping[str, int]
    text: str

    @property
    def state(self) -> str:
        if not self.accepted:
            return "Not accepted"
        return {True: "Available", False: "Unavailable", None: "Unknown"}[self.available]

    @property
    def cpu(self) -> float:
        return self.allocatable.get("cpu", 0.0)

    @property
    def memory(self) -> float:
        return self.allocatable.get("memory", 0.0)

    @property
    def gpus(self) -> float:
        return sum(value for name, value in self.allocatable.items() if "gpu" in name)


def cluster_row(cluster: Object, addon: Object | None, score: Object | None) -> ClusterRow:
    metadata, spec, status = cluster["metadata"], cluster.get("spec") or {}, cluster.get("status") or {}
    labels = labels_of(cluster)
    claims = tuple((shown(str(c.get("name")), 120), shown(str(c.get("value") or ""), 200)) for c in status.get("clusterClaims") or ())
    word, why = _addon(addon)
    available = condition(cluster, "ManagedClusterConditionAvailable").get("status")
    last = issued.latest(addon) if addon else None
    member = str(labels.get(names.CLUSTER_SET_LABEL, ""))
    return ClusterRow(
        name=metadata["name"],
        cluster_set=member,
        accepted=holds(cluster, "HubAcceptedManagedCluster"),
        available={"True": True, "False": False}.get(str(available)),
        version=shown(str(_part(status, "version").get("kubernetes") or ""), 40),
        labels=tuple(sorted((shown(k, 120), shown(str(v), 120)) for k, v in labels.items())),
        claims=claims,
        taints=tuple(shown(f"{t.get('key')}={t.get('value', '')}:{t.get('effect')}", 200) for t in spec.get("taints") or ()),
        allocatable=_allocatable(_part(status, "allocatable")),
        created=moment(metadata.get("creationTimestamp")),
        addon=word,
        why=why,
        until=last.ends if last else None,
        overdue=issued.overdue_from(last) if last else None,
        revoked=str((addon["metadata"].get("annotations") or {}).get(names.ANNOTATION_REVOKED) or "") if addon else "",
        scores=_scores(score),
        text=" ".join((metadata["name"], member, *(f"{name}={value}" for name, value in claims))).lower(),
    )


def _addon(addon: Object | None) -> tuple[str, str]:
    if addon is None:
        return "None", f"the cluster does not have the add-on {names.ADDON}"
    available = condition(addon, "Available")
    why = shown(f"{available.get('reason', '')}: {available.get('message', '')}".strip(": "), 300)
    if (addon["metadata"].get("annotations") or {}).get(names.ANNOTATION_REVOKED):
        return "Revoked", why
    return {"True": "Ready", "False": "Not ready"}.get(str(available.get("status")), "Unknown"), why


def _allocatable(found: Mapping[str, Any]) -> dict[str, float]:
    amounts = {str(name): quantity(value) for name, value in found.items()}
    return {name: value for name, value in amounts.items() if value is not None}


def _scores(score: Object | None) -> dict[str, int]:
    items: Iterable[Mapping[str, Any]] = ((score or {}).get("status") or {}).get("scores") or ()
    return {shown(str(each.get("name")), 120): int(each.get("value") or 0) for each in items}


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, Mapping) else {}


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) else 0
