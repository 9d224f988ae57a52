"""The loop with an in-memory API server that refuses what a test specifies: statuses, unaffected objects, retries."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from panal.api import names
from panal.api.progress import Progress
from panal.hub.addon.authorities import Trust
from panal.hub.apply import Applier
from panal.hub.bound_sets import BoundSets
from panal.hub.controller import Controller
from panal.hub.observe import Observer
from panal.hub.resolve import Resolver
from panal.hub.settings import Settings
from panal.hub.supply import Supplier
from panal.hub.watched import watched
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Listing
from panal.kube.errors import ApiError, Forbidden, Invalid, Unavailable
from panal.kube.kinds import Kind, kind_of
from panal.kube.objects import Object, key_of
from panal.kube.times import now_utc, to_time
from panal.lifecycle.world import Images
from worlds import APP_HASH, JOB_UID, UID, resource

SETTINGS = Settings(Images("tools:1", "gateway:1"), "panal-system", "me", 8080, "INFO", timedelta(minutes=5))


class Hub:
    """The methods of `panal.kube.client.Client` that are used. `refusals`: what an apply raises, by kind, or by kind and namespace."""

    def __init__(self, *objects: Object) -> None:
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.refusals: dict[object, ApiError] = {}
        self.refused = 0
        self.statuses: list[Object] = []
        self.deleted: list[tuple[str, str]] = []
        self._versions = itertools.count(1)
        for obj in objects:
            self.put(obj)

    def put(self, obj: Object) -> Object:
        stored = {"uid": f"u{next(self._versions)}", "generation": 1, "creationTimestamp": "2026-03-01T11:00:00Z"}
        kept = {**obj, "metadata": {**stored, **obj["metadata"], "resourceVersion": str(next(self._versions))}}
        self.objects[kind_of(obj), *key_of(obj)] = kept
        return kept

    async def pages(self, kind: Kind, selector: object, page_size: int) -> AsyncIterator[Listing]:
        yield Listing([o for (k, _, _), o in self.objects.items() if k == kind], "1")

    async def create(self, obj: Object) -> Object:
        return await self.apply(obj)

    @asynccontextmanager
    async def watch(self, *args: object, **options: object) -> AsyncIterator[AsyncIterator[Any]]:
        async def nothing() -> AsyncIterator[Any]:
            await asyncio.Event().wait()
            yield

        yield nothing()

    async def apply(self, obj: Object, force: bool = True) -> Object:
        for key in (obj["kind"], (obj["kind"], obj["metadata"].get("namespace"))):
            if key in self.refusals:
                self.refused += 1
                raise self.refusals[key]
        return self.put(obj)

    async def apply_status(self, obj: Object) -> Object:
        self.statuses.append(obj["status"])
        known = self.objects[kind_of(obj), *key_of(obj)]
        assert obj["metadata"]["uid"] == known["metadata"]["uid"]
        return self.put({**known, "status": obj["status"]})

    async def add_finalizer(self, kind: Kind, namespace: str, name: str, finalizer: str) -> Object:
        return self.objects[kind, namespace, name]

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> bool:
        self.deleted.append((kind.kind, namespace))
        return self.objects.pop((kind, namespace, name), None) is not None


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
    observer = Observer(cache, SETTINGS, False, unlisted)
    supplier = Supplier(authorities or NoRequests(), Resolver(print))  # type: ignore[arg-type]
    controller = Controller(cache, observer, supplier, Applier(hub, cache, NoEvents()))  # type: ignore[arg-type]
    tasks = [asyncio.create_task(work) for work in (cache.run(), controller.run())]
    async with asyncio.timeout(30):
        while not until():
            await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def ready(*more: Object) -> Hub:
    return Hub(resource(), node(), service(), *selected("cluster1", "cluster2", "cluster3"), *more)


async def test_an_invalid_service_fails_the_run() -> None:
    hub = ready()
    hub.objects.pop((kinds.SERVICE, "ns", "digits-aggregator"))
    hub.refusals["Service"] = Invalid(422, "Invalid", "provided port is already allocated")
    await controlled(hub, lambda: hub.statuses)
    assert hub.statuses[-1]["phase"] == "Failed"
    assert "provided port is already allocated" in hub.statuses[-1]["message"]


async def test_a_forbidden_job_is_reported_and_the_run_waits() -> None:
    hub = ready()
    hub.refusals["Job"] = Forbidden(403, "Forbidden", "exceeded quota: jobs")
    await controlled(hub, lambda: hub.statuses)
    assert hub.statuses[-1]["phase"] == "Waiting"
    assert "exceeded quota" in hub.statuses[-1]["message"]


async def test_a_refused_work_does_not_affect_other_clusters() -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Forbidden(403, "Forbidden", "namespace cluster2 is being terminated")
    await controlled(hub, lambda: hub.statuses)
    assert {ns for kind, ns, _ in hub.objects if kind == kinds.MANIFEST_WORK} == {"cluster1", "cluster3"}
    assert [(c["cluster"], c["reason"]) for c in hub.statuses[-1]["collaborators"] if c["state"] == "Failed"] == [
        ("cluster2", "WorkRefused")
    ]


async def test_an_outage_does_not_change_the_status() -> None:
    hub = ready()
    hub.refusals["Job"] = Unavailable(503, "ServiceUnavailable", "etcd is unavailable")
    await controlled(hub, lambda: hub.refused > 1)
    assert hub.statuses == []


@pytest.mark.parametrize("code", [0, 429, 503])
async def test_an_outage_is_not_a_refusal_of_a_work(code: int) -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Unavailable(code, "Unavailable", "the hub is unavailable")
    await controlled(hub, lambda: hub.refused > 1)
    assert hub.statuses == []
    assert {ns for kind, ns, _ in hub.objects if kind == kinds.MANIFEST_WORK} == {"cluster1", "cluster3"}


async def test_a_webhook_that_fails_for_a_work_is_reported() -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Unavailable(500, "InternalError", "failed calling webhook")
    await controlled(hub, lambda: hub.statuses)
    assert [c["reason"] for c in hub.statuses[-1]["collaborators"]] == ["WorkRefused", "", ""]


class Signing(NoRequests):
    """Authorities that sign, and record the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[object, ...]] = []

    def server_certificate(self, *request: object) -> str:
        self.requests.append(request[:3])
        return "SIGNED"


async def test_a_refusal_is_reported_in_the_same_reconcile() -> None:
    hub, authorities = ready(), Signing()
    hub.refusals["Job"] = Invalid(422, "Invalid", "no such image")
    await controlled(hub, lambda: hub.statuses, authorities)
    assert hub.statuses[-1]["phase"] == "Failed"
    assert len(authorities.requests) == hub.refused == 1


async def test_the_gateway_gets_the_certificate_that_the_reporter_requests() -> None:
    hub, authorities = ready(*started("cluster1", "cluster2", "cluster3")), Signing()
    hub.objects[kinds.CONFIG_MAP, "ns", "digits-progress"]["data"][names.KEY_REQUEST] = "REQUEST"
    gateway = kinds.CONFIG_MAP, "ns", names.gateway("digits")
    await controlled(hub, lambda: gateway in hub.objects, authorities)
    assert authorities.requests[0] == (names.server_name("digits", "ns"), "REQUEST", "")
    data = hub.objects[gateway]["data"]
    assert (data[names.KEY_TRUST], data[names.KEY_CRL], data[names.KEY_CERTIFICATE]) == ("COLLABORATORS", "CRL", "SIGNED")


@pytest.mark.parametrize("exists", [True, False], ids=["created again", "deleted"])
async def test_works_of_a_run_without_finalizer_are_deleted(exists: bool) -> None:
    labels = {names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns", names.LABEL_RUN_UID: "former"}
    created = "2026-03-01T11:00:00Z"
    metadata = {"name": "fl-digits-x", "namespace": "cluster9", "labels": labels, "creationTimestamp": created}
    work = {"apiVersion": kinds.MANIFEST_WORK.api_version, "kind": "ManifestWork", "metadata": metadata}
    hub = Hub(work, *([resource()] if exists else []))
    await controlled(hub, lambda: hub.deleted)
    assert hub.deleted == [("ManifestWork", "cluster9")]
