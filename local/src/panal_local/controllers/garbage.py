"""Garbage collection: deletes objects whose owners no longer exist, and the content of namespaces that are being deleted.

Watches all kinds of the API server, and caches little more than names and owners. The cache may be out of date, so a missing owner is
looked up before its dependents are deleted. New kinds are watched after a few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator

from panal.kube.cache import Cache, Watched
from panal.kube.client import Client, Selector
from panal.kube.errors import Conflict, KubeError, NotFound
from panal.kube.kinds import EVENT, NAMESPACE, Kind
from panal.kube.objects import Object, key_of, uid_of
from panal_local.controllers import dependents

log = logging.getLogger(__name__)

NOT_FOLLOWED = {"Event", "Lease"}  # many objects, none of them owned
KINDS_AGAIN = 10.0  # seconds between checks for new kinds
SWEEP = 0.5  # seconds between sweeps


def trimmed(obj: Object) -> Object:
    """Keeps only names, owners and the state of deletion."""
    metadata = obj["metadata"]
    kept = {
        k: metadata[k]
        for k in ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "deletionTimestamp", "finalizers")
        if k in metadata
    }
    return {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), "metadata": kept}


class Garbage:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], Kind] = {}

    async def run(self) -> None:
        """Runs until cancelled. Restarts the watches when the kinds of the API server change."""
        work: asyncio.Task[None] | None = None
        try:
            while True:
                found = await self._served()
                if found != self._kinds:
                    self._kinds = found
                    if work:
                        work.cancel()
                    work = asyncio.create_task(self._follow())
                await asyncio.sleep(KINDS_AGAIN)
        finally:
            if work:
                work.cancel()

    async def _served(self) -> dict[tuple[str, str], Kind]:
        try:
            return {(k.api_version, k.kind): k for k in await self._client.kinds()}
        except KubeError as error:
            log.warning("garbage: the kinds of the API server: %s", error)
            return self._kinds

    async def _follow(self) -> None:
        cache = Cache(self._client, [Watched(k, trim=trimmed) for k in self._kinds.values() if k.kind not in NOT_FOLLOWED])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cache.run())
            tasks.create_task(self._sweep(cache))

    async def _sweep(self, cache: Cache) -> None:
        await cache.wait_synced()
        while True:
            for kind, obj in self._suspects(cache):
                try:
                    await (self._release(cache, kind, obj) if dependents.is_waiting(obj) else self._delete_if_unowned(kind, obj))
                except (Conflict, NotFound):
                    continue
                except KubeError as error:
                    log.warning("garbage %s %s: %s", kind, obj["metadata"]["name"], error)
            await asyncio.sleep(SWEEP)

    def _suspects(self, cache: Cache) -> Iterator[tuple[Kind, Object]]:
        """Objects that wait for their dependents, that have no known owner, or whose namespace is being deleted."""
        everything = _all(cache)
        known = {uid_of(obj) for _, obj in everything}
        going = {obj["metadata"]["name"] for kind, obj in everything if kind == NAMESPACE and obj["metadata"].get("deletionTimestamp")}
        for kind, obj in everything:
            metadata = obj["metadata"]
            if dependents.is_waiting(obj):
                yield kind, obj
            if metadata.get("deletionTimestamp") and kind != NAMESPACE:
                continue
            owners = metadata.get("ownerReferences") or ()
            if metadata.get("namespace") in going or (owners and not any(o["uid"] in known for o in owners)):
                yield kind, obj
        for name in going:
            left = [obj for kind, obj in everything if obj["metadata"].get("namespace") == name]
            if not left:
                yield NAMESPACE, {"metadata": {"name": name}}

    async def _delete_if_unowned(self, kind: Kind, obj: Object) -> None:
        if kind == NAMESPACE:
            await self._finish_namespace(obj["metadata"]["name"])
            return
        namespace, name = key_of(obj)
        owners = obj["metadata"].get("ownerReferences") or ()
        if owners and await self._any_owner(namespace, owners):
            return
        log.info("deleting %s %s/%s: %s", kind, namespace, name, "its owner is gone" if owners else "its namespace is going")
        await self._client.delete(kind, namespace, name, uid_of(obj))

    async def _release(self, cache: Cache, kind: Kind, obj: Object) -> None:
        """Orphans or deletes the dependents, then removes the finalizer."""
        owned = [(k, o) for k, o in _all(cache) if any(r["uid"] == uid_of(obj) for r in o["metadata"].get("ownerReferences") or ())]
        kinds = {uid_of(o): k for k, o in owned}
        plan = dependents.decide(obj, (o for _, o in owned))
        for each, references in plan.release:
            change = {"ownerReferences": references or None, "resourceVersion": each["metadata"]["resourceVersion"]}
            await self._client.merge_patch(kinds[uid_of(each)], *key_of(each), {"metadata": change})
        for each in plan.delete:
            await self._client.delete(kinds[uid_of(each)], *key_of(each), uid_of(each))
        if plan.finalizers is not None:
            change = {"finalizers": plan.finalizers or None, "resourceVersion": obj["metadata"]["resourceVersion"]}
            await self._client.merge_patch(kind, *key_of(obj), {"metadata": change})

    async def _any_owner(self, namespace: str, owners: Iterable[dict[str, str]]) -> bool:
        """Looks the owners up in the API server. An owner of a kind that is not served counts as existing, as in Kubernetes."""
        for owner in owners:
            kind = self._kinds.get((owner["apiVersion"], owner["kind"])) or await self._kind_of(owner)
            if kind is None:
                return True
            try:
                found = await self._client.get(kind, namespace if kind.namespaced else "", owner["name"])
            except NotFound:
                continue
            if uid_of(found) == owner["uid"]:
                return True
        return False

    async def _kind_of(self, owner: dict[str, str]) -> Kind | None:
        """Looks up a kind that may be new; None if it is not served."""
        try:
            found = await self._client.kinds_of(owner["apiVersion"])
        except NotFound:
            return None
        return next((kind for kind in found if kind.kind == owner["kind"]), None)

    async def _finish_namespace(self, name: str) -> None:
        """Deletes the events of an otherwise empty namespace, then removes its finalizer."""
        found = await self._client.get(NAMESPACE, "", name)
        for event in (await self._client.list(EVENT, Selector(name))).items:
            await self._client.delete(EVENT, name, event["metadata"]["name"])
        await self._client.replace(
            {**found, "apiVersion": "v1", "kind": "Namespace", "spec": {**found.get("spec", {}), "finalizers": []}}, "finalize"
        )


def _all(cache: Cache) -> list[tuple[Kind, Object]]:
    return [(kind, obj) for kind in cache.kinds() for obj in cache.list(kind)]
