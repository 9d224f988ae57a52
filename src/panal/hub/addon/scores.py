"""Keeps the AddOnPlacementScore of each cluster with the add-on up to date: one worker, which writes only what differs or expires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from panal.addon import scores
from panal.api import names
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.kinds import Kind
from panal.kube.loop import work
from panal.kube.objects import Object, condition, labels_of, uid_of
from panal.kube.queue import WorkQueue
from panal.placement.data import announced_volume

SETTLE = 2.0  # seconds during which changes of one cluster are collected
STAGGER = 0.01  # seconds between clusters at the start
READ = (kinds.MANAGED_CLUSTER, kinds.MANAGED_CLUSTER_ADDON, kinds.MANIFEST_WORK, kinds.FEDERATED_LEARNING, kinds.ADDON_PLACEMENT_SCORE)


class Scores:
    """`run` publishes until it is cancelled. It needs a running `cache`. On a hub without the kind it writes nothing."""

    def __init__(self, client: Client, cache: Cache, now: Callable[[], datetime]) -> None:
        self._client = client
        self._cache = cache
        self._now = now
        self._queue: WorkQueue[str] = WorkQueue()

    async def run(self) -> None:
        await self._cache.wait_synced(*READ)
        self._cache.subscribe(self._on_change)
        for number, addon in enumerate(self._cache.list(kinds.MANAGED_CLUSTER_ADDON)):
            self._queue.add_after(addon["metadata"]["namespace"], number * STAGGER)
        await work(self._queue, self._reconcile, "scores of")

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if changed is None or kind not in READ or kind == kinds.FEDERATED_LEARNING:  # a work comes and goes with a run's collaborator
            return
        if old is None or new is None or _relevant(kind, old) != _relevant(kind, new):
            metadata = changed["metadata"]
            self._queue.add_after(metadata["name"] if kind == kinds.MANAGED_CLUSTER else metadata["namespace"], SETTLE)

    async def _reconcile(self, cluster: str) -> float | None:
        """Returns the seconds until the scores are renewed."""
        addon = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON)
        known = self._cache.get(kinds.MANAGED_CLUSTER, "", cluster)
        if not self._cache.served(kinds.ADDON_PLACEMENT_SCORE) or addon is None or addon["metadata"].get("deletionTimestamp"):
            return None
        now, found = self._now(), scores.scores(known or {}, self._requests(cluster), _volumes(known or {}))
        wanted, live = scores.resource(addon), self._cache.get(kinds.ADDON_PLACEMENT_SCORE, cluster, scores.NAME)
        if live is None or not scores.owned(live, addon):
            live = await self._client.apply(wanted)
        if not scores.current(live, found, now):
            same = wanted["metadata"] | {"uid": uid_of(live)}
            live = await self._client.apply_status(wanted | {"metadata": same, "status": scores.status(found, now)})
        return max(1.0, scores.renewal(live, now))

    def _requests(self, cluster: str) -> Iterator[dict[str, Any]]:
        """What each collaborator on the cluster requests; what has only a limit requests that."""
        for each in self._cache.list(kinds.MANIFEST_WORK, cluster):
            labels = labels_of(each)
            run = self._cache.get(kinds.FEDERATED_LEARNING, labels.get(names.LABEL_RUN_NAMESPACE, ""), labels.get(names.LABEL_RUN, ""))
            if run is not None and labels.get(names.LABEL_RUN_UID) == uid_of(run):
                resources = ((run.get("spec") or {}).get("client") or {}).get("resources") or {}
                yield (resources.get("limits") or {}) | (resources.get("requests") or {})


def _volumes(cluster: Object) -> dict[str, int]:
    claims = (cluster.get("status") or {}).get("clusterClaims") or ()
    told = {claim.get("name") or "": announced_volume(claim.get("value") or "") for claim in claims}  # the CRD requires neither
    return {name: volume for name, volume in told.items() if name and volume is not None}


def _relevant(kind: Kind, obj: Object) -> object:
    match kind:
        case kinds.MANAGED_CLUSTER:
            available = condition(obj, "ManagedClusterConditionAvailable").get("status")
            status = obj.get("status") or {}
            return available, status.get("allocatable"), status.get("clusterClaims")
        case kinds.ADDON_PLACEMENT_SCORE:
            return obj["metadata"].get("ownerReferences"), obj.get("status")
    return uid_of(obj), obj["metadata"].get("deletionTimestamp")
