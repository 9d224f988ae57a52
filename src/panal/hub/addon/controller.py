"""The add-on's loop: reconciles each cluster's ManagedClusterAddOn, the add-on's work, revocations and certificate requests.

At most one worker has a cluster, and it answers a few requests before the next cluster's turn: a cluster that floods the hub with requests
delays only itself. Requests of users that are not a cluster's agent are handled in the same way, per user. With OCM's gRPC server as the
user, the cluster counts whose agent it names. Requests are answered even if
the rest of the reconcile fails: a refused work must not prevent a cluster from getting its certificate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from panal.addon import issued, manifests, registration, rollout
from panal.addon.authority import Times
from panal.addon.config import ConfigKey
from panal.addon.issued import Issued
from panal.addon.requests import is_pending
from panal.api import names
from panal.hub import metrics
from panal.hub.addon.authorities import Authorities
from panal.hub.addon.signing import Signing
from panal.hub.difference import needs_apply, stamped
from panal.hub.watched import ADDON_KINDS, BY_REQUESTER, requester
from panal.hub.work_writer import create
from panal.hub.works import whole
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import Conflict, NotFound
from panal.kube.events import EventRecorder
from panal.kube.kinds import Kind, kind_of
from panal.kube.loop import Result, work
from panal.kube.objects import Object, condition, key_of, labels_of, uid_of, version_of
from panal.kube.queue import Waiting, WorkQueue

WORKERS = 4
SETTLE = 0.1  # seconds during which changes of one cluster are collected
CALM = 1.0  # the same for changes that only affect conditions, of which several follow each other when a cluster joins
BATCH = 5  # requests of one cluster that are answered in one reconcile
PAUSE = 1.0  # seconds until that cluster's next reconcile
AGAIN = 0.2  # the same after a conflict, in which the cache gets the newer object
EVERYWHERE = "*"  # the key of the ClusterManagementAddOn
STAGGER = 0.01  # seconds between clusters when all are reconciled


def _count(result: Result) -> None:
    metrics.ADDON_RECONCILES.labels(result).inc()


class AddOnController:
    """`run` reconciles until it is cancelled. It needs a running `cache`, and authorities that are ready."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        recorder: EventRecorder,
        authorities: Authorities,
        times: Times,
        now: Callable[[], datetime],
        grpc_server: str = "",
    ) -> None:
        """`grpc_server`: see `panal.addon.requests`."""
        self._client = client
        self._cache = cache
        self._authorities = authorities
        self._signing = Signing(client, cache, recorder, authorities, times.leaf, now, grpc_server)
        self._grpc_server = grpc_server
        self._now = now
        self._queue: WorkQueue[str] = WorkQueue()
        self._paused: dict[str, float] = {}  # by requester: until when its further requests wait
        self._removed: dict[str, tuple[Issued, ...]] = {}  # by cluster: certificates to revoke, since its add-on was removed

    async def run(self) -> None:
        await self._cache.wait_synced(*ADDON_KINDS, kinds.MANAGED_CLUSTER, kinds.MANIFEST_WORK, kinds.CERTIFICATE_SIGNING_REQUEST)
        self._cache.subscribe(self._on_change)
        self._authorities.subscribe(self._reconcile_all)
        self._reconcile_all()
        self._queue.add(EVERYWHERE)
        for csr in self._cache.list(kinds.CERTIFICATE_SIGNING_REQUEST):
            self._on_change(kinds.CERTIFICATE_SIGNING_REQUEST, None, csr)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work(self._queue, self._reconcile, "add-on of", count=_count))

    def waiting(self) -> Waiting:
        """The clusters that wait to be reconciled."""
        return self._queue.waiting()

    def _reconcile_all(self) -> None:
        for number, addon in enumerate(self._cache.list(kinds.MANAGED_CLUSTER_ADDON)):
            self._queue.add_after(addon["metadata"]["namespace"], number * STAGGER)

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if changed is None:
            return
        if kind == kinds.MANAGED_CLUSTER_ADDON:
            self._note_removal(old, new)
            self._queue.add_after(changed["metadata"]["namespace"], CALM if _only_conditions_differ(old, new) else SETTLE)
        elif kind == kinds.CLUSTER_MANAGEMENT_ADDON:
            self._queue.add_after(EVERYWHERE, SETTLE)
        elif kind == kinds.ADDON_DEPLOYMENT_CONFIG:
            self._queue.add_after(EVERYWHERE, SETTLE)
            for addon in self._cache.list(kinds.MANAGED_CLUSTER_ADDON):
                if rollout.uses(addon, key_of(changed)):
                    self._queue.add_after(addon["metadata"]["namespace"], SETTLE)
        elif kind == kinds.MANIFEST_WORK and labels_of(changed).get(names.ADDON_LABEL) == names.ADDON:
            self._queue.add_after(changed["metadata"]["namespace"], CALM if new else SETTLE)
        elif kind == kinds.MANAGED_CLUSTER and (old is None or new is None or _relevant_fields(old) != _relevant_fields(new)):
            self._queue.add_after(changed["metadata"]["name"], SETTLE)
        elif kind == kinds.CERTIFICATE_SIGNING_REQUEST and (new is None or is_pending(new)):  # a deleted one no longer counts
            key = requester(changed, self._grpc_server)
            self._queue.add_after(key, max(SETTLE, self._paused.get(key, 0.0) - time.monotonic()))

    def _note_removal(self, old: Object | None, new: Object | None) -> None:
        """Notes the certificates of a removed add-on, to be revoked, although the cluster's agent also deletes them."""
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            cluster = old["metadata"]["namespace"]
            self._removed[cluster] = (*self._removed.get(cluster, ()), *issued.valid(issued.issued(old), self._now()))

    async def _reconcile(self, key: str) -> float | None:
        """Returns the seconds until the next reconcile, or None."""
        if key == EVERYWHERE:
            await self._hash_configs()
            return None
        if certificates := self._removed.get(key):
            await self._authorities.revoke(key, list(certificates))
            self._removed.pop(key)
        addon = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, key, names.ADDON)
        again = None
        try:
            if addon is not None and not addon["metadata"].get("deletionTimestamp"):
                again = await self._reconcile_addon(addon)
        except Exception:
            await self._answer(key)
            raise
        return await self._answer(key) or again

    async def _answer(self, key: str) -> float | None:
        """Answers up to BATCH pending requests, the oldest first."""
        waiting = [csr for csr in self._cache.by_index(kinds.CERTIFICATE_SIGNING_REQUEST, BY_REQUESTER, key) if is_pending(csr)]
        for csr in sorted(waiting, key=lambda c: str(c["metadata"]["creationTimestamp"]))[:BATCH]:
            try:
                await self._signing.answer(csr)
            except (Conflict, NotFound):  # what it was judged by is older than what the API server has
                return AGAIN
        if len(waiting) <= BATCH:
            self._paused.pop(key, None)
            return None
        self._paused[key] = time.monotonic() + PAUSE
        return PAUSE

    async def _reconcile_addon(self, addon: Object) -> float | None:
        """Reconciles the add-on on one cluster. Returns the seconds until its certificate expires."""
        cluster = addon["metadata"]["namespace"]
        if issued.revoked(addon):
            await self._revoke(addon)
        if changed := rollout.managed_cluster_addon(addon, self._config):
            await self._patch_status(addon, changed)
            return None  # the watch reports the change, which causes another reconcile
        work = self._cache.get(kinds.MANIFEST_WORK, cluster, manifests.WORK)
        wanted = stamped(manifests.work(addon, self._authorities.trust().server_bundle))
        if work is None:
            await create(self._client, wanted)
        elif needs_apply(wanted, whole(work)):
            await self._client.apply(wanted, force=True)
        now = self._now()
        status = registration.status(addon, work, self._cache.get(kinds.MANAGED_CLUSTER, "", cluster), now, self._requests(cluster))
        if registration.differs(addon, status):
            await self._client.apply_status(addon | {"status": status})
        ends = registration.expiry(addon, now)
        return max(1.0, (ends - now).total_seconds()) if ends else None

    def _requests(self, cluster: str) -> int:
        """The number of the cluster's certificate requests that its agent counts, which it does by these labels."""
        labels = {names.CLUSTER_LABEL: cluster, names.ADDON_LABEL: names.ADDON}
        found = self._cache.by_index(kinds.CERTIFICATE_SIGNING_REQUEST, BY_REQUESTER, cluster)
        return sum(labels.items() <= labels_of(csr).items() for csr in found)

    def _config(self, key: ConfigKey) -> Object | None:
        return self._cache.get(kinds.ADDON_DEPLOYMENT_CONFIG, *key)

    async def _hash_configs(self) -> None:
        addon = self._cache.get(kinds.CLUSTER_MANAGEMENT_ADDON, "", names.ADDON)
        if addon and (changed := rollout.cluster_management_addon(addon, self._config)):
            await self._patch_status(addon, changed)

    async def _patch_status(self, addon: Object, changed: Object) -> None:
        """Patches lists that OCM's add-on manager also writes. Raises Conflict if the add-on has changed since it was read."""
        patch = {"metadata": {"resourceVersion": version_of(addon)}, "status": changed}
        await self._client.merge_patch(kind_of(addon), *key_of(addon), patch, "status")

    async def _revoke(self, addon: Object) -> None:
        certificates, now = issued.issued(addon), self._now()
        valid = issued.valid(certificates, now)
        if not valid:
            return
        cluster = addon["metadata"]["namespace"]
        await self._authorities.revoke(cluster, valid)
        text = issued.text(issued.as_revoked(certificates, now), now)
        patch = {"metadata": {"resourceVersion": version_of(addon), "annotations": {names.ANNOTATION_CERTIFICATES: text}}}
        await self._client.merge_patch(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON, patch)


def _only_conditions_differ(old: Object | None, new: Object | None) -> bool:
    """Whether a ManagedClusterAddOn that has its registrations has changed in nothing but the conditions of its status."""
    if old is None or new is None:
        return False
    before, now = ((o["metadata"].get("annotations"), o["metadata"].get("deletionTimestamp"), o.get("spec")) for o in (old, new))
    statuses = [{k: v for k, v in (o.get("status") or {}).items() if k != "conditions"} for o in (old, new)]
    return before == now and statuses[0] == statuses[1] and bool(statuses[1].get("registrations"))


def _relevant_fields(cluster: Object) -> object:
    """The fields of a ManagedCluster that the add-on's status depends on."""
    about = [condition(cluster, type_) for type_ in (registration.CLUSTER_AVAILABLE, "HubAcceptedManagedCluster")]
    return [(c.get("status"), c.get("reason"), c.get("message")) for c in about]
