"""The hub's loops for Placements, their decisions, and the add-ons that they install."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.kinds import Kind
from panal.kube.loop import Loop
from panal.kube.objects import Key, Object, conditions_of, key_of, labels_of
from panal.kube.times import now_utc
from panal.placement.hub import Hub, placement_of
from panal.placement.selectors import MisconfiguredError
from panal_local.ocm import addons, clusters, placing
from panal_local.ocm.certificates import ADDON_LABEL
from panal_local.ocm.conditions import merge_conditions
from panal_local.ocm.writing import ensure, patch_status
from panal_local.scheduling.schedule import Outcome, schedule

log = logging.getLogger(__name__)

READ_BY_THE_SCHEDULER = (
    kinds.MANAGED_CLUSTER,
    kinds.MANAGED_CLUSTER_SET,
    kinds.MANAGED_CLUSTER_SET_BINDING,
    kinds.PLACEMENT_DECISION,
    kinds.ADDON_PLACEMENT_SCORE,
)


class Snapshot:
    """The input of the scheduler, built once for all Placements until an object in it changes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._hub: Hub | None = None
        cache.subscribe(self._invalidate)

    def hub(self) -> Hub:
        if self._hub is None:
            self._hub = Hub(*(self._cache.list(kind) for kind in READ_BY_THE_SCHEDULER))
        return self._hub

    def _invalidate(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        if kind in READ_BY_THE_SCHEDULER:
            self._hub = None


class PlacingControllers:
    def __init__(self, client: Client, cache: Cache, snapshot: Snapshot) -> None:
        self._client = client
        self._cache = cache
        self._snapshot = snapshot

    def loops(self) -> list[Loop]:
        return [
            Loop("placement", self._cache, self._placements, self._placement),
            Loop("add-on", self._cache, self._addons, self._addon),
            Loop("installed add-on", self._cache, self._installed_addons, self._installed_addon),
        ]

    # --- placements ---------------------------------------------------------------------------------------------
    def _placements(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.PLACEMENT:
            yield key_of(obj)
        elif kind == kinds.MANAGED_CLUSTER_SET_BINDING:
            yield from map(key_of, self._cache.list(kinds.PLACEMENT, obj["metadata"]["namespace"]))
        elif kind in READ_BY_THE_SCHEDULER:
            yield from map(key_of, self._cache.list(kinds.PLACEMENT))

    async def _placement(self, key: Key) -> float | None:
        placement = self._cache.get(kinds.PLACEMENT, *key)
        now = now_utc()
        outcome = None if placement is None else self._schedule(placement, now)
        if placement is None or outcome is None:
            return None
        await self._write_decisions(placement, placing.difference(placement, outcome.decisions, self._decisions(key)))
        conditions = merge_conditions(conditions_of(placement), outcome.conditions, now)
        status = {"numberOfSelectedClusters": outcome.selected, "conditions": conditions}
        await patch_status(self._client, kinds.PLACEMENT, placement, status)
        return None if outcome.requeue is None else (outcome.requeue - now).total_seconds()

    def _schedule(self, placement: Object, now: datetime) -> Outcome | None:
        try:
            return schedule(placement, self._snapshot.hub(), now)
        except MisconfiguredError as error:  # in a ManagedClusterSet, whose change requeues the Placement
            log.warning("placement %s/%s: %s", *key_of(placement), error)
            return None

    def _decisions(self, key: Key) -> list[Object]:
        return [d for d in self._cache.list(kinds.PLACEMENT_DECISION, key.namespace) if placement_of(d) == key.name]

    async def _write_decisions(self, placement: Object, difference: placing.Difference) -> None:
        """Creates, updates, then deletes, so that no reader misses a cluster in between."""
        namespace = placement["metadata"]["namespace"]
        for obj in difference.create:
            await ensure(self._client, obj)
        for decision in difference.statuses:
            await self._client.merge_patch(kinds.PLACEMENT_DECISION, namespace, decision.name, {"status": decision.status}, "status")
        for name in difference.surplus:
            await self._client.delete(kinds.PLACEMENT_DECISION, namespace, name)

    # --- add-ons ------------------------------------------------------------------------------------------------
    def _addons(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.CLUSTER_MANAGEMENT_ADDON:
            yield key_of(obj)
        elif kind == kinds.MANAGED_CLUSTER_ADDON:
            yield Key("", obj["metadata"]["name"])
        elif kind in (kinds.PLACEMENT_DECISION, kinds.MANAGED_CLUSTER):
            yield from map(key_of, self._cache.list(kinds.CLUSTER_MANAGEMENT_ADDON))

    async def _addon(self, key: Key) -> float | None:
        addon = self._cache.get(kinds.CLUSTER_MANAGEMENT_ADDON, *key)
        if addon is None:
            return None
        installed = [a for a in self._cache.list(kinds.MANAGED_CLUSTER_ADDON) if a["metadata"]["name"] == key.name]
        plan = addons.decide(addon, self._decided(addon), self._cache.list(kinds.MANAGED_CLUSTER), installed)
        for obj in plan.create:
            await ensure(self._client, obj)
        for surplus in plan.remove:
            await self._client.delete(kinds.MANAGED_CLUSTER_ADDON, *surplus)
        return None

    def _decided(self, addon: Object) -> dict[Key, set[str]]:
        return {p: placing.clusters(self._decisions(p)) for p in addons.placements(addon) or ()}

    def _installed_addons(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.MANAGED_CLUSTER_ADDON:
            yield key_of(obj)
        elif kind == kinds.MANAGED_CLUSTER:
            yield from map(key_of, self._cache.list(kinds.MANAGED_CLUSTER_ADDON, obj["metadata"]["name"]))
        elif kind == kinds.MANIFEST_WORK and ADDON_LABEL in labels_of(obj):
            yield Key(obj["metadata"]["namespace"], labels_of(obj)[ADDON_LABEL])
        elif kind == kinds.PLACEMENT_DECISION:
            yield from map(key_of, self._cache.list(kinds.MANAGED_CLUSTER_ADDON))
        elif kind == kinds.CLUSTER_MANAGEMENT_ADDON:
            name = obj["metadata"]["name"]
            yield from (key_of(a) for a in self._cache.list(kinds.MANAGED_CLUSTER_ADDON) if a["metadata"]["name"] == name)

    async def _installed_addon(self, key: Key) -> float | None:
        installed = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, *key)
        if installed is None:
            return None
        cluster = self._cache.get(kinds.MANAGED_CLUSTER, "", key.namespace)
        addon = self._cache.get(kinds.CLUSTER_MANAGEMENT_ADDON, "", key.name)
        status: Object = {}
        updates = list(clusters.lost(cluster)) if cluster else []
        if addon and addons.managed(addon):
            works = [w for w in self._cache.list(kinds.MANIFEST_WORK, key.namespace) if labels_of(w).get(ADDON_LABEL) == key.name]
            status, conditions = addons.installed_status(addon, installed, self._decided(addon), works)
            updates = [*conditions, *updates]
        status["conditions"] = merge_conditions(conditions_of(installed), updates, now_utc())
        await patch_status(self._client, kinds.MANAGED_CLUSTER_ADDON, installed, status)
        return None
