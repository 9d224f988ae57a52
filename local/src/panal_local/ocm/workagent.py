"""The work agent: applies the manifests of the hub's ManifestWorks, reports their status, and removes objects that left a work.

After a restart it applies everything again. The applied objects, which it must remove some day, are listed in an AppliedManifestWork on the
cluster, which owns them.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from panal.kube import kinds
from panal.kube.backoff import Backoff
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import ApiError, Unavailable
from panal.kube.kinds import Kind
from panal.kube.loop import Loop
from panal.kube.objects import Key, Object, key_of, uid_of
from panal.kube.times import now_utc
from panal_local.ocm import statuses, works
from panal_local.ocm.applying import MANAGER, Applier, Discovery
from panal_local.ocm.conditions import Condition
from panal_local.ocm.statuses import Observed
from panal_local.ocm.works import Manifest
from panal_local.ocm.writing import ensure, patch, patch_status

log = logging.getLogger(__name__)

RETRIES = Backoff(first=0.25, cap=60)
RESYNC = 240.0  # seconds, times a random factor of 1 to 1.5
AGAIN = 0.3  # seconds between checks of objects that are being deleted


@dataclass(frozen=True, slots=True)
class Applied:
    """The last apply of a work: the revision, when to apply it again on the monotonic clock, and the number of consecutive failures."""

    what: tuple[object, ...]
    until: float
    failures: int = 0


class WorkAgent:
    def __init__(self, cluster: str, hub_hash: str, hub: tuple[Client, Cache], spoke: tuple[Client, Cache]) -> None:
        self._cluster = cluster
        self._hash = hub_hash
        self._hub, self._hub_cache = hub
        self._spoke, self._spoke_cache = spoke
        self._discovery = Discovery(self._spoke)
        self._applier = Applier(self._spoke.managing(MANAGER))
        self._applied: dict[Key, Applied] = {}
        self._loop = Loop("work", self._hub_cache, self._keys, self._reconcile, also=[self._spoke_cache])

    async def run(self) -> None:
        await self._loop.run()

    def _keys(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.MANIFEST_WORK:
            yield key_of(obj)
        elif kind == kinds.APPLIED_MANIFEST_WORK and obj["spec"]["hubHash"] == self._hash:
            yield Key(self._cluster, obj["spec"]["manifestWorkName"])
        elif kind == kinds.POD:  # feedback of Pods is prompt
            yield from (key_of(work) for work in self._hub_cache.list(kinds.MANIFEST_WORK) if works.has_pod(work, key_of(obj)))

    async def _reconcile(self, key: Key) -> float | None:
        work = self._hub_cache.get(kinds.MANIFEST_WORK, *key)
        applied = self._spoke_cache.get(kinds.APPLIED_MANIFEST_WORK, "", works.applied_name(self._hash, key.name))
        if work is None:
            self._applied.pop(key, None)
            return await self._remove_applied(applied, works.applied_resources(applied), {}) if applied else None
        if work["metadata"].get("deletionTimestamp"):
            return await self._delete(work, applied)
        finalizers = work["metadata"].get("finalizers") or []
        if works.FINALIZER not in finalizers:
            await patch(self._hub, kinds.MANIFEST_WORK, work, {"metadata": {"finalizers": [*finalizers, works.FINALIZER]}})
            return None
        if applied is None:
            await ensure(self._spoke, works.applied_work(work, self._hash))
            return None
        if applied["metadata"].get("deletionTimestamp"):  # of an earlier work with this name
            return await self._remove_applied(applied, works.applied_resources(applied), work)
        return await self._keep(key, work, applied)

    # --- existing works -----------------------------------------------------------------------------------------
    async def _keep(self, key: Key, work: Object, applied: Object) -> float | None:
        manifests = await self._manifests(work)
        due = self._due(key, _revision(work, applied))
        results = await self._apply(manifests, applied) if due else {}
        observed = [await self._observe(m, results.get(m.ordinal), fresh=due) for m in manifests]
        now = now_utc()
        await patch_status(self._hub, kinds.MANIFEST_WORK, work, statuses.status(work, observed, now))
        again = await self._record_applied(work, applied, observed)
        if due:
            self._remember(key, _revision(work, applied), [c for c in results.values() if c["status"] != "True"])
        return again or max(0.1, self._applied[key].until - time.monotonic() if key in self._applied else RESYNC)

    def _remember(self, key: Key, what: tuple[object, ...], failed: Sequence[Condition]) -> None:
        """Failed manifests are retried with a growing delay, whatever changes meanwhile in the work's objects."""
        last = self._applied.get(key)
        failures = ((last.failures if last and last.what == what else 0) + 1) if failed else 0
        wait = RETRIES.delay(failures) if failed else RESYNC * random.uniform(1, 1.5)
        self._applied[key] = Applied(what, time.monotonic() + wait, failures)
        if failed:
            log.warning("work %s: %d manifests not applied: %s (again in %.1f s)", key.name, len(failed), failed[0]["message"], wait)

    def _due(self, key: Key, what: tuple[object, ...]) -> bool:
        last = self._applied.get(key)
        return last is None or last.until <= time.monotonic() or last.what != what

    async def _manifests(self, work: Object) -> list[Manifest]:
        found = []
        for ordinal, obj in enumerate(works.objects(work)):
            kind = await self._discovery.find(str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
            found.append(works.manifest(work, ordinal, obj, kind))
        return found

    async def _apply(self, manifests: Sequence[Manifest], applied: Object) -> dict[int, Condition]:
        """Applies in the order of the work. A manifest that needs a later one is retried soon."""
        owner = works.owner(applied)
        return {m.ordinal: await self._applier.apply(m, owner) for m in manifests}

    async def _observe(self, manifest: Manifest, applied: Condition | None = None, *, fresh: bool = False) -> Observed:
        live, problem = None, ""
        if manifest.kind and manifest.name:
            try:
                live = await self._live(manifest.kind, Key(manifest.namespace, manifest.name), fresh)
            except Unavailable:
                raise
            except ApiError as error:
                problem = error.message
        if live is not None and manifest.kind:
            live = {"apiVersion": manifest.kind.api_version, "kind": manifest.kind.kind} | live
        return Observed(manifest, live, problem, applied)

    async def _live(self, kind: Kind, key: Key, fresh: bool) -> Object | None:
        return self._spoke_cache.get(kind, *key) if kind == kinds.POD and not fresh else await self._applier.get(kind, *key)

    async def _record_applied(self, work: Object, applied: Object, observed: Sequence[Observed]) -> float | None:
        """Updates the AppliedManifestWork, and removes objects that left the work. Returns the seconds until the next check."""
        before = works.applied_resources(applied)
        wanted = {_identity(s.manifest) for s in observed}
        current = [works.resource(s.manifest, s.live) for s in observed if s.live and s.manifest.kind and s.manifest.strategy != "ReadOnly"]
        gone = [r for r in before if r.identity not in wanted]
        left = await self._release(gone, works.owner(applied), work)
        await patch_status(self._spoke, kinds.APPLIED_MANIFEST_WORK, applied, _listed([*current, *left]))
        return AGAIN if left else None

    async def _release(self, resources: Iterable[works.Resource], owner: Object, work: Object) -> list[works.Resource]:
        """Returns the resources that still exist."""
        return [r for r in resources if not await self._applier.release(r, owner, works.orphaned(work, *r.identity))]

    # --- deleted works ------------------------------------------------------------------------------------------
    async def _delete(self, work: Object, applied: Object | None) -> float | None:
        self._applied.pop(key_of(work), None)
        if works.FINALIZER not in (work["metadata"].get("finalizers") or []):
            return None
        if applied is None:
            await self._hub.remove_finalizers(kinds.MANIFEST_WORK, *key_of(work), [works.FINALIZER], uid_of(work))
            return None
        observed = [await self._observe(m, fresh=True) for m in await self._manifests(work)]
        await patch_status(self._hub, kinds.MANIFEST_WORK, work, statuses.status(work, observed, now_utc()))
        return await self._remove_applied(applied, works.applied_resources(applied), work)

    async def _remove_applied(self, applied: Object, resources: Sequence[works.Resource], work: Object) -> float | None:
        """Removes the applied objects, then the AppliedManifestWork."""
        if not applied["metadata"].get("deletionTimestamp"):
            await self._spoke.delete(kinds.APPLIED_MANIFEST_WORK, *key_of(applied), uid_of(applied))
            return None
        left = await self._release(resources, works.owner(applied), work)
        if left:
            await patch_status(self._spoke, kinds.APPLIED_MANIFEST_WORK, applied, _listed(left))
            return AGAIN
        await self._spoke.remove_finalizers(kinds.APPLIED_MANIFEST_WORK, *key_of(applied), [works.APPLIED_FINALIZER], uid_of(applied))
        return None


def _revision(work: Object, applied: Object) -> tuple[object, ...]:
    """A work is applied again when this value changes."""
    return uid_of(work), work["metadata"]["generation"], uid_of(applied)


def _identity(manifest: Manifest) -> tuple[str, str, str, str]:
    meta = manifest.meta
    return meta["group"], meta["resource"], meta["namespace"], meta["name"]


def _listed(resources: Iterable[works.Resource]) -> Object:
    return {"appliedResources": [r.json() for r in sorted(resources)] or None}
