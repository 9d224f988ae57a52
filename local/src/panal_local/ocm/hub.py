"""The hub's loops. They read from one watch cache, call the decisions of the other modules, and write."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.kinds import Kind
from panal.kube.loop import Concerns, Loop, together
from panal.kube.objects import Key, Object, conditions_of, drop_managed_fields, key_of, uid_of
from panal.kube.times import now_utc
from panal.placement.selectors import MisconfiguredError
from panal_local.ocm import clusters, crds, sets
from panal_local.ocm.hubplacing import PlacingControllers, Snapshot
from panal_local.ocm.writing import ensure, patch, retried, serve, update_conditions

log = logging.getLogger(__name__)

WATCHED = (
    kinds.MANAGED_CLUSTER,
    kinds.MANAGED_CLUSTER_SET,
    kinds.MANAGED_CLUSTER_SET_BINDING,
    kinds.PLACEMENT,
    kinds.PLACEMENT_DECISION,
    kinds.ADDON_PLACEMENT_SCORE,
    kinds.CLUSTER_MANAGEMENT_ADDON,
    kinds.MANAGED_CLUSTER_ADDON,
    kinds.NAMESPACE,
)


async def prepare(client: Client) -> None:
    """Creates the default cluster sets."""
    for name in sets.DEFAULT_SETS:
        await ensure(client, sets.default_set(name))


async def run(client: Client, grace: float = clusters.GRACE) -> None:
    """Runs until cancelled. `grace` is the number of lease durations until a cluster counts as lost."""
    await retried(lambda: serve(client, crds.hub()))
    await retried(lambda: prepare(client))
    cache = Cache(
        client,
        [
            *map(Watched, WATCHED),
            Watched(kinds.LEASE, label_selector=clusters.NAME_LABEL),
            Watched(kinds.MANIFEST_WORK, trim=_trimmed),
        ],
    )
    loops = HubControllers(client, cache, grace).loops()
    await together(cache.run(), *(loop.run() for loop in loops))


def _trimmed(work: Object) -> Object:
    """Keeps the metadata and conditions of a work."""
    found = {key: work[key] for key in ("apiVersion", "kind", "metadata") if key in work}
    return drop_managed_fields(found | {"status": {"conditions": conditions_of(work)}})


class HubControllers:
    def __init__(self, client: Client, cache: Cache, grace: float) -> None:
        self._client = client
        self._cache = cache
        self._grace = grace
        self._snapshot = Snapshot(cache)

    def loops(self) -> list[Loop]:
        return [
            Loop("cluster", self._cache, self._clusters, self._cluster),
            Loop("set", self._cache, self._sets, self._set),
            Loop("binding", self._cache, self._bindings, self._binding),
            Loop("namespace", self._cache, _only(kinds.NAMESPACE), self._namespace),
            *PlacingControllers(self._client, self._cache, self._snapshot).loops(),
        ]

    # --- clusters -----------------------------------------------------------------------------------------------
    def _clusters(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind in (kinds.MANAGED_CLUSTER, kinds.NAMESPACE):
            yield Key("", obj["metadata"]["name"])
        elif kind in (kinds.LEASE, kinds.MANAGED_CLUSTER_ADDON, kinds.MANIFEST_WORK):
            yield Key("", obj["metadata"]["namespace"])

    async def _cluster(self, key: Key) -> float | None:
        cluster = self._cache.get(kinds.MANAGED_CLUSTER, *key)
        if cluster is None:
            return None
        if cluster["metadata"].get("deletionTimestamp"):
            return await self._remove(cluster)
        now = now_utc()
        if clusters.accepted(cluster):
            await self._ensure_namespace(cluster, now)
        lease = self._cache.get(kinds.LEASE, key.name, clusters.LEASE)
        plan = clusters.decide(cluster, lease, now, self._grace)
        if not await patch(self._client, kinds.MANAGED_CLUSTER, cluster, plan.changes):
            await update_conditions(self._client, kinds.MANAGED_CLUSTER, cluster, plan.conditions, now)
        return plan.requeue_after

    async def _ensure_namespace(self, cluster: Object, now: datetime) -> None:
        """Creates the cluster's namespace and its lease."""
        name = cluster["metadata"]["name"]
        namespace = self._cache.get(kinds.NAMESPACE, "", name)
        if namespace is None:
            await ensure(self._client, clusters.namespace(name))
        elif clusters.NAME_LABEL not in (namespace["metadata"].get("labels") or {}):
            await self._client.merge_patch(kinds.NAMESPACE, "", name, {"metadata": clusters.namespace(name)["metadata"]})
        if self._cache.get(kinds.LEASE, name, clusters.LEASE) is None:
            await ensure(self._client, clusters.lease(name, now))

    async def _remove(self, cluster: Object) -> float | None:
        name = cluster["metadata"]["name"]
        step = clusters.remove(self._cache.list(kinds.MANAGED_CLUSTER_ADDON, name), self._cache.list(kinds.MANIFEST_WORK, name))
        for kind, obj in step.delete:
            await self._client.delete(kind, *key_of(obj), uid_of(obj))
        await update_conditions(self._client, kinds.MANAGED_CLUSTER, cluster, [step.condition], now_utc())
        if step.done:
            await self._client.remove_finalizers(kinds.MANAGED_CLUSTER, "", name, clusters.FINALIZERS, uid_of(cluster))
        return None

    # --- sets and bindings --------------------------------------------------------------------------------------
    def _sets(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.MANAGED_CLUSTER_SET:
            yield key_of(obj)
        elif kind == kinds.MANAGED_CLUSTER:
            yield from map(key_of, self._cache.list(kinds.MANAGED_CLUSTER_SET))

    async def _set(self, key: Key) -> float | None:
        found = self._cache.get(kinds.MANAGED_CLUSTER_SET, *key)
        if found is None:
            await prepare(self._client)
            return None
        try:
            count = len(self._snapshot.hub().members(key.name))
        except MisconfiguredError as error:
            log.warning("set %s: %s", key.name, error)
            return None
        await update_conditions(self._client, kinds.MANAGED_CLUSTER_SET, found, [sets.empty_condition(count)], now_utc())
        return None

    def _bindings(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.MANAGED_CLUSTER_SET_BINDING:
            yield key_of(obj)
        elif kind == kinds.MANAGED_CLUSTER_SET:
            name = obj["metadata"]["name"]
            yield from (key_of(b) for b in self._cache.list(kinds.MANAGED_CLUSTER_SET_BINDING) if b["metadata"]["name"] == name)

    async def _binding(self, key: Key) -> float | None:
        found = self._cache.get(kinds.MANAGED_CLUSTER_SET_BINDING, *key)
        if found is not None:
            exists = self._cache.get(kinds.MANAGED_CLUSTER_SET, "", found["spec"].get("clusterSet", "")) is not None
            await update_conditions(self._client, kinds.MANAGED_CLUSTER_SET_BINDING, found, [sets.bound_condition(exists)], now_utc())
        return None

    async def _namespace(self, key: Key) -> float | None:
        namespace = self._cache.get(kinds.NAMESPACE, *key)
        if namespace is None or not sets.needs_binding(namespace) or self._cache.get(kinds.MANAGED_CLUSTER, "", key.name):
            return None
        await ensure(self._client, sets.binding(key.name))
        await patch(self._client, kinds.NAMESPACE, namespace, {"metadata": {"annotations": {sets.BOUND: "true"}}})
        return None


def _only(wanted: Kind) -> Concerns:
    return lambda kind, obj: (key_of(obj),) if kind == wanted else ()
