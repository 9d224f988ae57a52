"""A hub in memory, with a run, for tests of the controller's loop.

`Hub` has the methods of `panal.kube.client.Client` that the loop uses, with watches. `controlled` runs a controller on it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import timedelta
from typing import Any, Literal, TypeVar

from panal.api import names
from panal.api.progress import Progress
from panal.hub.addon.authorities import Trust
from panal.hub.apply import Applier
from panal.hub.bound_sets import BoundSets
from panal.hub.controller import Controller
from panal.hub.observe import Observer
from panal.hub.records import Records
from panal.hub.resolve import Resolver
from panal.hub.settings import Settings
from panal.hub.supply import Supplier
from panal.hub.watched import watched
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Listing, WatchEvent
from panal.kube.errors import ApiError
from panal.kube.kinds import Kind, kind_of
from panal.kube.objects import Object, key_of
from panal.kube.times import now_utc, to_time
from panal.lifecycle.world import Images
from worlds import APP_HASH, JOB_UID, UID, resource

T = TypeVar("T")
SETTINGS = Settings(Images("tools:1", "gateway:1"), "panal-system", "me", 8080, "INFO", timedelta(minutes=5))


class Hub:
    """The methods of `panal.kube.client.Client` that are used. `refusals`: what an apply raises, by kind, or by kind and namespace."""

    def __init__(self, *objects: Object) -> None:
        self.events: list[tuple[Kind, WatchEvent]] = []
        self.changed = asyncio.Event()
        self.around: Callable[[str], Awaitable[None]] | None = None  # called with "before" and "after" of each write
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.refusals: dict[object, ApiError] = {}
        self.refused = 0
        self.served: set[Kind] = set()  # of the optional kinds
        self.statuses: list[Object] = []
        self.deleted: list[tuple[str, str]] = []
        self._versions = itertools.count(1)
        for obj in objects:
            self.put(obj)

    def put(self, obj: Object) -> Object:
        key = kind_of(obj), *key_of(obj)
        before = self.objects.get(key, {})
        stored = {"uid": f"u{next(self._versions)}", "generation": 1, "creationTimestamp": "2026-03-01T11:00:00Z"}
        metadata = {**(before.get("metadata") or stored), **obj["metadata"], "resourceVersion": str(next(self._versions))}
        kept = {**_merged(before, obj), "metadata": metadata}
        self.objects[key] = kept
        self.tell("MODIFIED", kept)
        return kept

    def tell(self, type_: Literal["MODIFIED", "DELETED"], obj: Object) -> None:
        self.events.append((kind_of(obj), WatchEvent(type_, deepcopy(obj))))
        self.changed.set()

    async def serves(self, kind: Kind) -> bool:
        return kind in self.served

    async def pages(self, kind: Kind, selector: object, page_size: int) -> AsyncIterator[Listing]:
        yield Listing([deepcopy(o) for (k, _, _), o in self.objects.items() if k == kind], str(len(self.events)))

    @asynccontextmanager
    async def watch(self, kind: Kind, version: str, *args: object, **options: object) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """The events after the list; of a watch that continues, those after its last one."""
        yield self._after(kind, version)

    async def _after(self, kind: Kind, version: str) -> AsyncIterator[WatchEvent]:
        for number in itertools.count(int(version)):
            while number >= len(self.events):
                self.changed.clear()
                await self.changed.wait()
            of, event = self.events[number]
            if of == kind:
                yield event

    async def create(self, obj: Object, *, brief: bool = False) -> Object:
        return await self.apply(obj)

    async def apply(self, obj: Object, force: bool = True) -> Object:
        for key in (obj["kind"], (obj["kind"], obj["metadata"].get("namespace"))):
            if key in self.refusals:
                self.refused += 1
                raise self.refusals[key]
        return await self._write(lambda: self.put(obj))

    async def apply_status(self, obj: Object) -> Object:
        known = self.objects[kind_of(obj), *key_of(obj)]
        assert obj["metadata"]["uid"] == known["metadata"]["uid"]

        def put() -> Object:
            self.statuses.append(obj["status"])
            return self.put({**known, "status": obj["status"]})

        return await self._write(put)

    async def add_finalizer(self, kind: Kind, namespace: str, name: str, finalizer: str) -> Object:
        known = self.objects[kind, namespace, name]
        return await self._write(lambda: self.put({**known, "metadata": {**known["metadata"], "finalizers": [finalizer]}}))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> bool:
        def pop() -> bool:
            self.deleted.append((kind.kind, namespace))
            gone = self.objects.pop((kind, namespace, name), None)
            if gone:
                self.tell("DELETED", gone)
            return gone is not None

        return await self._write(pop)

    async def _write(self, write: Callable[[], T]) -> T:
        if self.around:
            await self.around("before")
        found = write()
        if self.around:
            await self.around("after")
        return found


def _merged(old: Any, new: Any) -> Any:
    """What others have set stays, as with server-side apply."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_merged(*pair) for pair in zip(old, new, strict=True)]
    return new


class NoEvents:
    async def record(self, *event: object) -> None: ...


def managed(name: str) -> Object:
    condition = [{"type": t, "status": "True"} for t in ("HubAcceptedManagedCluster", "ManagedClusterConditionAvailable")]
    claims = [{"name": "example.com/digits", "value": "pvc://digits"}]
    return {
        "apiVersion": kinds.MANAGED_CLUSTER.api_version,
        "kind": "ManagedCluster",
        "metadata": {"name": name},
        "status": {"conditions": condition, "clusterClaims": claims},
    }


def selected(*clusters: str) -> list[Object]:
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns"}
    placement = {
        "apiVersion": kinds.PLACEMENT.api_version,
        "kind": "Placement",
        "metadata": {"name": "digits", "namespace": "ns", "labels": labels},
        "status": {"numberOfSelectedClusters": len(clusters), "conditions": [{"type": "PlacementSatisfied", "status": "True"}]},
    }
    decision = {
        "apiVersion": kinds.PLACEMENT_DECISION.api_version,
        "kind": "PlacementDecision",
        "metadata": {"name": "d", "namespace": "ns", "labels": {"cluster.open-cluster-management.io/placement": "digits"}},
        "status": {"decisions": [{"clusterName": c} for c in clusters]},
    }
    return [placement, decision, *map(managed, clusters)]


def node() -> Object:
    status = {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": status}


class NoRequests:
    """Authorities without a request for a certificate."""

    def trust(self) -> Trust:
        return Trust("SERVERS", "COLLABORATORS", "CRL")

    def server_certificate(self, *_: object) -> str:
        return ""


def service() -> Object:
    labels = {names.LABEL_RUN_UID: UID}
    metadata = {"name": "digits-aggregator", "namespace": "ns", "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 1, "nodePort": 30001}]}}


def started(*clusters: str) -> list[Object]:
    """An aggregator that has announced its app, and the add-ons of the clusters."""
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns"}
    created, api = to_time(now_utc()), kinds.MANAGED_CLUSTER_ADDON.api_version
    job = {"name": "digits-aggregator", "namespace": "ns", "uid": JOB_UID, "labels": labels, "creationTimestamp": created}
    text = Progress(attempt=JOB_UID, app_hash=APP_HASH).model_dump_json(by_alias=True)
    progress = {"name": "digits-progress", "namespace": "ns", "labels": labels}
    addons = [{"apiVersion": api, "kind": "ManagedClusterAddOn", "metadata": {"name": names.ADDON, "namespace": c}} for c in clusters]
    return [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": job},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": progress, "data": {"progress": text}},
        *addons,
    ]


async def controlled(hub: Hub, until: Callable[[], object], authorities: object = None) -> None:
    """Runs the controller on `hub` until `until` returns true."""
    cache = Cache(hub, watched())  # type: ignore[arg-type]
    unlisted = BoundSets(hub, cache, "ns")  # type: ignore[arg-type]
    records = Records(hub, "panal-system")  # type: ignore[arg-type]
    observer = Observer(cache, SETTINGS, False, unlisted, records)
    supplier = Supplier(authorities or NoRequests(), Resolver(print))  # type: ignore[arg-type]
    controller = Controller(cache, observer, supplier, Applier(hub, cache, NoEvents(), records))  # type: ignore[arg-type]
    tasks = [asyncio.create_task(work) for work in (cache.run(), controller.run())]
    async with asyncio.timeout(30):
        while not until():
            await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def ready(*more: Object) -> Hub:
    return Hub(resource(), node(), service(), *selected("cluster1", "cluster2", "cluster3"), *more)
