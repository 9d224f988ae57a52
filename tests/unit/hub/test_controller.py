"""The loop against an API server in memory that refuses what a test says: what is told, what is done all the same, what is tried again."""

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
    """Just enough of `panal.kube.client.Client`; `refusals` maps kind, or kind and namespace, to what an apply of it raises."""

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
        kept = {**obj, "metadata": {"uid": f"u{next(self._versions)}", **obj["metadata"], "resourceVersion": str(next(self._versions))}}
        self.objects[kind_of(obj), *key_of(obj)] = kept
        return kept

    async def list(self, kind: Kind, selector: object) -> Listing:
        return Listing([o for (k, _, _), o in self.objects.items() if k == kind], "1")

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


class Silent:
    async def record(self, *said: object) -> None: ...


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


class Unasked:
    """Authorities of which nobody has asked for a certificate yet."""

    def trust(self) -> Trust:
        return Trust("SERVERS", "COLLABORATORS", "CRL")

    def server_certificate(self, *_: object) -> str:
        return ""


def service() -> Object:
    labels = {names.LABEL_RUN_UID: UID}
    metadata = {"name": "digits-aggregator", "namespace": "ns", "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 1, "nodePort": 30001}]}}


def started(*clusters: str) -> list[Object]:
    """The aggregator is there and has announced its app, and the clusters have the add-on."""
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns"}
    created, api = to_time(now_utc()), kinds.MANAGED_CLUSTER_ADDON.api_version
    job = {"name": "digits-aggregator", "namespace": "ns", "uid": JOB_UID, "labels": labels, "creationTimestamp": created}
    said = Progress(attempt=JOB_UID, app_hash=APP_HASH).model_dump_json(by_alias=True)
    progress = {"name": "digits-progress", "namespace": "ns", "labels": labels}
    addons = [{"apiVersion": api, "kind": "ManagedClusterAddOn", "metadata": {"name": names.ADDON, "namespace": c}} for c in clusters]
    return [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": job},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": progress, "data": {"progress": said}},
        *addons,
    ]


async def controlled(hub: Hub, until: Callable[[], object], authorities: object = None) -> None:
    """The controller at work on `hub` until that is so."""
    cache = Cache(hub, watched())  # type: ignore[arg-type]
    unlisted = BoundSets(hub, cache, "ns")  # type: ignore[arg-type]
    observer = Observer(cache, SETTINGS, False, unlisted)
    supplier = Supplier(authorities or Unasked(), Resolver(print))  # type: ignore[arg-type]
    controller = Controller(cache, observer, supplier, Applier(hub, cache, Silent()))  # type: ignore[arg-type]
    tasks = [asyncio.create_task(work) for work in (cache.run(), controller.run())]
    async with asyncio.timeout(30):
        while not until():
            await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def ready(*more: Object) -> Hub:
    return Hub(resource(), node(), service(), *selected("cluster1", "cluster2", "cluster3"), *more)


async def test_a_service_that_is_never_accepted_ends_the_run() -> None:
    hub = ready()
    hub.objects.pop((kinds.SERVICE, "ns", "digits-aggregator"))
    hub.refusals["Service"] = Invalid(422, "Invalid", "provided port is already allocated")
    await controlled(hub, lambda: hub.statuses)
    assert hub.statuses[-1]["phase"] == "Failed"
    assert "provided port is already allocated" in hub.statuses[-1]["message"]


async def test_a_forbidden_job_is_told_and_the_run_waits() -> None:
    hub = ready()
    hub.refusals["Job"] = Forbidden(403, "Forbidden", "exceeded quota: jobs")
    await controlled(hub, lambda: hub.statuses)
    assert hub.statuses[-1]["phase"] == "Waiting"
    assert "exceeded quota" in hub.statuses[-1]["message"]


async def test_one_cluster_whose_work_is_refused_does_not_keep_the_others_from_theirs() -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Forbidden(403, "Forbidden", "namespace cluster2 is being terminated")
    await controlled(hub, lambda: hub.statuses)
    assert {ns for kind, ns, _ in hub.objects if kind == kinds.MANIFEST_WORK} == {"cluster1", "cluster3"}
    assert [(c["cluster"], c["reason"]) for c in hub.statuses[-1]["collaborators"] if c["state"] == "Failed"] == [
        ("cluster2", "WorkRefused")
    ]


async def test_an_api_server_that_does_not_answer_is_no_news() -> None:
    hub = ready()
    hub.refusals["Job"] = Unavailable(503, "ServiceUnavailable", "etcd is away")
    await controlled(hub, lambda: hub.refused > 1)
    assert hub.statuses == []


@pytest.mark.parametrize("code", [0, 429, 503])
async def test_a_hub_that_is_away_is_no_refusal_of_a_work(code: int) -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Unavailable(code, "Unavailable", "the hub is away")
    await controlled(hub, lambda: hub.refused > 1)
    assert hub.statuses == []
    assert {ns for kind, ns, _ in hub.objects if kind == kinds.MANIFEST_WORK} == {"cluster1", "cluster3"}


async def test_a_webhook_that_fails_for_a_work_is_told() -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Unavailable(500, "InternalError", "failed calling webhook")
    await controlled(hub, lambda: hub.statuses)
    assert [c["reason"] for c in hub.statuses[-1]["collaborators"]] == ["WorkRefused", "", ""]


class Signing(Unasked):
    """Authorities that sign, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def server_certificate(self, *asked: object) -> str:
        self.asked.append(asked[:3])
        return "SIGNED"


async def test_a_refusal_is_told_from_the_same_look_at_the_run() -> None:
    hub, authorities = ready(), Signing()
    hub.refusals["Job"] = Invalid(422, "Invalid", "no such image")
    await controlled(hub, lambda: hub.statuses, authorities)
    assert hub.statuses[-1]["phase"] == "Failed"
    assert len(authorities.asked) == hub.refused == 1


async def test_the_aggregators_gateway_gets_the_certificate_that_its_reporter_asks_for() -> None:
    hub, authorities = ready(*started("cluster1", "cluster2", "cluster3")), Signing()
    hub.objects[kinds.CONFIG_MAP, "ns", "digits-progress"]["data"][names.KEY_REQUEST] = "REQUEST"
    given = kinds.CONFIG_MAP, "ns", names.gateway("digits")
    await controlled(hub, lambda: given in hub.objects, authorities)
    assert authorities.asked[0] == (names.server_name("digits", "ns"), "REQUEST", "")
    data = hub.objects[given]["data"]
    assert (data[names.KEY_TRUST], data[names.KEY_CRL], data[names.KEY_CERTIFICATE]) == ("COLLABORATORS", "CRL", "SIGNED")


@pytest.mark.parametrize("there", [True, False], ids=["made anew", "gone"])
async def test_works_of_a_run_that_was_removed_by_force_go(there: bool) -> None:
    labels = {names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns", names.LABEL_RUN_UID: "former"}
    created = "2026-03-01T11:00:00Z"
    metadata = {"name": "fl-digits-x", "namespace": "cluster9", "labels": labels, "creationTimestamp": created}
    work = {"apiVersion": kinds.MANIFEST_WORK.api_version, "kind": "ManifestWork", "metadata": metadata}
    hub = Hub(work, *([resource()] if there else []))
    await controlled(hub, lambda: hub.deleted)
    assert hub.deleted == [("ManifestWork", "cluster9")]
