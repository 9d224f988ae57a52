"""The agent of a managed cluster: joins the hub, reports the cluster's status, renews its lease, and runs the work and add-on agents."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterable

from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.kinds import Kind
from panal.kube.loop import Loop, together
from panal.kube.objects import Key, Object, holds
from panal.kube.times import now_utc, to_micro_time
from panal_local.ocm import crds, registration
from panal_local.ocm.addonagent import AddonAgent
from panal_local.ocm.certificates import INSTALL_NAMESPACE
from panal_local.ocm.clusters import ACCEPTED, LEASE, NAME_LABEL
from panal_local.ocm.workagent import WorkAgent
from panal_local.ocm.writing import ensure, patch_status, retried, serve

LEASE_SECONDS = 60
STATUS_AGAIN = 60.0  # seconds between reads of the API server's version


async def prepare(hub: Client, spoke: Client, cluster: str, lease_seconds: int) -> None:
    """Creates the ManagedCluster on the hub, and the add-ons' namespace on the cluster."""
    await ensure(hub, registration.managed_cluster(cluster, lease_seconds))
    await ensure(spoke, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": INSTALL_NAMESPACE}})


async def run(hub: Client, spoke: Client, cluster: str, hub_url: str, *, lease_seconds: int = LEASE_SECONDS) -> None:
    """Runs until cancelled. `lease_seconds` is the lease duration of a new ManagedCluster."""
    await retried(lambda: serve(spoke, crds.spoke()))
    await retried(lambda: prepare(hub, spoke, cluster, lease_seconds))
    hub_cache = Cache(
        hub,
        [
            Watched(kinds.MANAGED_CLUSTER, field_selector=f"metadata.name={cluster}"),
            Watched(kinds.MANIFEST_WORK, namespace=cluster),
            Watched(kinds.MANAGED_CLUSTER_ADDON, namespace=cluster),
            Watched(kinds.CERTIFICATE_SIGNING_REQUEST, label_selector=f"{NAME_LABEL}={cluster}"),
        ],
    )
    spoke_cache = Cache(spoke, [*map(Watched, (kinds.NODE, kinds.POD, kinds.CLUSTER_CLAIM, kinds.APPLIED_MANIFEST_WORK))])
    registered = Registration(cluster, (hub, hub_cache), (spoke, spoke_cache))
    work = WorkAgent(cluster, hub_hash(hub_url), (hub, hub_cache), (spoke, spoke_cache))
    addons = AddonAgent((hub, hub_cache), spoke)
    await together(hub_cache.run(), spoke_cache.run(), work.run(), addons.run(), *(loop.run() for loop in registered.loops()))


class Registration:
    def __init__(self, cluster: str, hub: tuple[Client, Cache], spoke: tuple[Client, Cache]) -> None:
        self._cluster = cluster
        self._hub, self._hub_cache = hub
        self._spoke, self._spoke_cache = spoke
        self._renew_at = 0.0

    def loops(self) -> list[Loop]:
        return [
            Loop("status", self._hub_cache, self._status_keys, self._status, also=[self._spoke_cache]),
            Loop("lease", self._hub_cache, self._cluster_keys, self._lease),
        ]

    def _cluster_keys(self, kind: Kind, obj: Object) -> Iterable[Key]:
        return (Key("", self._cluster),) if kind == kinds.MANAGED_CLUSTER else ()

    def _status_keys(self, kind: Kind, obj: Object) -> Iterable[Key]:
        return (Key("", self._cluster),) if kind in (kinds.MANAGED_CLUSTER, kinds.NODE, kinds.CLUSTER_CLAIM) else ()

    async def _status(self, key: Key) -> float | None:
        cluster = self._hub_cache.get(kinds.MANAGED_CLUSTER, *key)
        if cluster is None:
            return None
        nodes, claims = self._spoke_cache.list(kinds.NODE), self._spoke_cache.list(kinds.CLUSTER_CLAIM)
        status = registration.available(cluster, await self._spoke.server_version(), nodes, claims, now_utc())
        await patch_status(self._hub, kinds.MANAGED_CLUSTER, cluster, status)
        return STATUS_AGAIN

    async def _lease(self, key: Key) -> float | None:
        cluster = self._hub_cache.get(kinds.MANAGED_CLUSTER, *key)
        if cluster is None or not holds(cluster, ACCEPTED):
            return None
        if (left := self._renew_at - time.monotonic()) > 0:
            return left
        renewed = {"spec": {"renewTime": to_micro_time(now_utc())}}
        await self._hub.merge_patch(kinds.LEASE, self._cluster, LEASE, renewed)
        every = float((cluster.get("spec") or {}).get("leaseDurationSeconds") or LEASE_SECONDS) * random.uniform(1, 1.25)
        self._renew_at = time.monotonic() + every
        return every


def hub_hash(url: str) -> str:
    """Identifies the hub in the names of AppliedManifestWorks."""
    return hashlib.sha256(url.encode()).hexdigest()
