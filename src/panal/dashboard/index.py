"""A row for each run and cluster, kept up to date by the watch cache, and told to those who look at the lists.

The rows of the last answers are kept for a moment, since several viewers often look at the same list.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from panal.api import names
from panal.api.status import ENDED
from panal.dashboard.bell import Bell
from panal.dashboard.listing import Page, Query, of_clusters, of_runs
from panal.dashboard.rows import ClusterRow, RunRow, cluster_row, run_row
from panal.hub.watched import PLACEMENT_LABEL
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object, key_of, labels_of

KEPT = 64  # answers
Namespaces = frozenset[str] | None  # those whose runs somebody may see; None: all


class Index:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._runs: dict[Key, RunRow] = {}
        self._clusters: dict[str, ClusterRow] = {}
        self._decided: dict[tuple[str, str], dict[str, frozenset[str]]] = {}  # by run: the clusters of each PlacementDecision
        self._answers: OrderedDict[object, object] = OrderedDict()
        self.runs_changed, self.clusters_changed = Bell(), Bell()
        cache.subscribe(self._on_change)
        for bell in (self.runs_changed, self.clusters_changed):
            cache.heed(bell.ring)

    # --- changes ----------------------------------------------------------------------------------------------------
    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        if old is new:
            return
        if kind == kinds.FEDERATED_LEARNING:
            self._change_run(new or old or {}, new is None)
        elif kind == kinds.PLACEMENT_DECISION:
            self._change_decision(new or old or {}, new is None)
        else:
            changed = new or old or {}
            namespace, name = key_of(changed)
            self._change_cluster(name if kind == kinds.MANAGED_CLUSTER else namespace)

    def _change_run(self, run: Object, deleted: bool) -> None:
        key = key_of(run)
        if deleted:
            self._runs.pop(key, None)
        else:
            self._runs[key] = run_row(run, self._runs.get(key))
        self._tell(self.runs_changed)

    def _change_decision(self, decision: Object, deleted: bool) -> None:
        run = (decision["metadata"]["namespace"], labels_of(decision).get(PLACEMENT_LABEL, ""))
        found = self._decided.setdefault(run, {})
        if deleted:
            found.pop(decision["metadata"]["name"], None)
        else:
            decided = (decision.get("status") or {}).get("decisions") or ()
            found[decision["metadata"]["name"]] = frozenset(str(each.get("clusterName")) for each in decided)
        if not found:
            del self._decided[run]
        self._tell(self.runs_changed)

    def _change_cluster(self, name: str) -> None:
        cluster = self._cache.get(kinds.MANAGED_CLUSTER, "", name)
        if cluster is None:
            self._clusters.pop(name, None)
        else:
            addon = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, name, names.ADDON)
            score = self._cache.get(kinds.ADDON_PLACEMENT_SCORE, name, names.ADDON)
            now = cluster_row(cluster, addon, score)
            if now == self._clusters.get(name):
                return  # such as a heartbeat
            self._clusters[name] = now
        self._tell(self.clusters_changed)

    def _tell(self, bell: Bell) -> None:
        self._answers.clear()
        bell.ring()

    # --- reading ----------------------------------------------------------------------------------------------------
    def runs(self, query: Query, namespaces: Namespaces) -> Page[RunRow]:
        key = ("runs", query, namespaces)
        found = self._answers.get(key)
        if not isinstance(found, Page):
            found = self._keep(key, of_runs(self.visible(namespaces, query.cluster), query))
        return found

    def clusters(self, query: Query) -> Page[ClusterRow]:
        key = ("clusters", query)
        found = self._answers.get(key)
        if not isinstance(found, Page):
            found = self._keep(key, of_clusters(list(self._clusters.values()), query))
        return found

    def _keep(self, key: object, found: Page) -> Page:  # type: ignore[type-arg]
        self._answers[key] = found
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        return found

    def visible(self, namespaces: Namespaces, cluster: str = "") -> list[RunRow]:
        """Runs in the namespaces; with `cluster`, those with it in the clusters of their rows (see `on`)."""
        rows = list(self._runs.values()) if namespaces is None else [row for row in self._runs.values() if row.namespace in namespaces]
        return rows if not cluster else [self._placed(row) for row in rows if cluster in self.on(row)]

    def _placed(self, row: RunRow) -> RunRow:
        return replace(row, clusters=self.on(row))

    def on(self, row: RunRow) -> frozenset[str]:
        """The clusters of a run: while it goes on those that are decided, and those in its status."""
        decided = {} if row.phase in ENDED else self._decided.get((row.namespace, row.name), {})
        return row.clusters.union(*decided.values()) if decided else row.clusters

    def run(self, namespace: str, name: str) -> RunRow | None:
        return self._runs.get(Key(namespace, name))

    def cluster(self, name: str) -> ClusterRow | None:
        return self._clusters.get(name)

    def cluster_rows(self) -> Mapping[str, ClusterRow]:
        return self._clusters

    def namespaces(self) -> list[str]:
        return sorted({key.namespace for key in self._runs})

    def cluster_sets(self) -> list[str]:
        return sorted({row.cluster_set for row in self._clusters.values() if row.cluster_set})

    def active_on_clusters(self, namespaces: Namespaces) -> Mapping[str, list[str]]:
        """The runs in progress of each cluster."""
        key = ("active", namespaces)
        found = self._answers.get(key)
        if not isinstance(found, dict):
            runs: dict[str, list[str]] = {}
            for row in self.visible(namespaces):
                if row.phase not in ENDED:
                    for cluster in self.on(row):
                        runs.setdefault(cluster, []).append(row.path)
            self._answers[key] = found = runs
        return found


def by_phase(rows: Iterable[RunRow]) -> Counter[str]:
    return Counter(row.phase for row in rows)


def by_state(rows: Iterable[ClusterRow]) -> Counter[str]:
    return Counter(row.state for row in rows)


def overdue(rows: Iterable[ClusterRow], now: datetime) -> list[ClusterRow]:
    """Clusters whose certificate should have been renewed, or has ended; the first to end first."""
    found = [(row.until, row.name, row) for row in rows if not row.revoked and row.until and row.overdue and row.overdue < now]
    return [row for _, _, row in sorted(found, key=lambda each: each[:2])]


def first_to_end(rows: Iterable[ClusterRow], now: datetime) -> tuple[int, datetime | None]:
    """How many clusters have a valid certificate, and when the first of these ends."""
    ends = [row.until for row in rows if row.until is not None and row.until > now and not row.revoked]
    return len(ends), min(ends, default=None)
