"""The loop that keeps AddOnPlacementScores up to date, on a hub in memory: when it writes, and when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memory_hub import Hub, managed
from panal.api import names
from panal.hub.addon import scores as publishing
from panal.hub.addon.scores import Scores
from panal.hub.watched import watched
from panal.kube import kinds
from panal.kube.cache import Cache
from worlds import UID, resource

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(publishing, "SETTLE", 0.01)


def cluster(name: str, memory: str) -> dict[str, Any]:
    found = managed(name)
    return found | {"status": found["status"] | {"allocatable": {"memory": memory, "pods": "110"}}}


def addon(name: str) -> dict[str, Any]:
    metadata = {"name": names.ADDON, "namespace": name}
    return {"apiVersion": kinds.MANAGED_CLUSTER_ADDON.api_version, "kind": "ManagedClusterAddOn", "metadata": metadata}


def collaborator(name: str) -> dict[str, Any]:
    labels = {names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns", names.LABEL_RUN_UID: UID}
    metadata = {"name": "fl-digits", "namespace": name, "labels": labels}
    return {"apiVersion": kinds.MANIFEST_WORK.api_version, "kind": "ManifestWork", "metadata": metadata, "spec": {}}


def score(hub: Hub, name: str) -> dict[str, int] | None:
    found = hub.objects.get((kinds.ADDON_PLACEMENT_SCORE, name, names.ADDON))
    return {each["name"]: each["value"] for each in found["status"]["scores"]} if found and "status" in found else None


async def published(hub: Hub, *steps: Callable[[], Awaitable[None]], now: Callable[[], datetime] = lambda: NOW) -> None:
    cache = Cache(hub, watched())  # type: ignore[arg-type]
    tasks = [asyncio.create_task(each) for each in (cache.run(), Scores(hub, cache, now).run())]  # type: ignore[arg-type]
    try:
        for step in steps:
            await step()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def until(question: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        async with asyncio.timeout(10):
            while not question():
                await asyncio.sleep(0.01)

    return wait


def then(act: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        act()

    return do


def hub(*more: dict[str, Any]) -> Hub:
    made = Hub(resource(), cluster("c1", "64Gi"), cluster("c2", "2Gi"), addon("c1"), *more)
    made.served.add(kinds.ADDON_PLACEMENT_SCORE)
    return made


async def test_each_cluster_with_the_add_on_has_its_score() -> None:
    found = hub()
    await published(
        found,
        until(lambda: score(found, "c1") == {"memory": 50}),
        then(lambda: found.put(cluster("c1", "2Gi"))),
        until(lambda: score(found, "c1") == {"memory": 8}),
        then(lambda: found.put(addon("c2"))),
        until(lambda: score(found, "c2") == {"memory": 8}),
    )


async def test_a_collaborator_takes_what_it_requests() -> None:
    spec = resource()["spec"]
    spec = spec | {"client": spec["client"] | {"resources": {"limits": {"memory": "62Gi"}, "requests": {"cpu": "1"}}}}
    found = hub(resource() | {"spec": spec})
    await published(
        found,
        until(lambda: score(found, "c1") == {"memory": 50}),
        then(lambda: found.put(collaborator("c1"))),
        until(lambda: score(found, "c1") == {"memory": 8}),
    )


async def test_what_others_write_is_repaired_and_what_is_right_is_left() -> None:
    found = hub()
    await published(found, until(lambda: score(found, "c1") is not None))
    writes = len(found.statuses)
    wrong = found.objects[kinds.ADDON_PLACEMENT_SCORE, "c1", names.ADDON]
    await published(
        found,
        then(lambda: found.put(cluster("c1", "64Gi") | {"spec": {"hubAcceptsClient": True}})),
        then(lambda: found.put({**wrong, "status": wrong["status"] | {"scores": [{"name": "memory", "value": 99}]}})),
        until(lambda: score(found, "c1") == {"memory": 50}),
    )
    assert len(found.statuses) == writes + 1


async def test_a_score_is_renewed_before_it_expires() -> None:
    found = hub()
    await published(found, until(lambda: score(found, "c1") is not None))
    before = found.objects[kinds.ADDON_PLACEMENT_SCORE, "c1", names.ADDON]["status"]["validUntil"]
    later = NOW + timedelta(hours=4)
    await published(found, until(lambda: len(found.statuses) == 2), now=lambda: later)
    after = found.objects[kinds.ADDON_PLACEMENT_SCORE, "c1", names.ADDON]["status"]["validUntil"]
    assert datetime.fromisoformat(after) - datetime.fromisoformat(before) == timedelta(hours=4)


async def test_the_volume_of_announced_data_is_scored() -> None:
    found = hub()
    announcing = cluster("c1", "64Gi")
    claims = [{"name": "big", "value": "pvc://a#1Ti"}, {"name": "region", "value": "eu"}, {"name": "plain", "value": "/data"}]
    claims += [{"value": "pvc://nameless#1Ti"}, {"name": "empty"}]  # the definition of ManagedCluster allows them
    announcing["status"] = announcing["status"] | {"clusterClaims": claims}
    await published(
        found,
        until(lambda: score(found, "c1") == {"memory": 50}),
        then(lambda: found.put(announcing)),
        until(lambda: score(found, "c1") == {"memory": 50, "data/big": 80}),
    )


async def test_a_cluster_that_is_away_has_no_score() -> None:
    found = hub()
    away = cluster("c1", "64Gi")
    away["status"] = away["status"] | {"conditions": [{"type": "ManagedClusterConditionAvailable", "status": "Unknown"}]}
    await published(
        found, until(lambda: score(found, "c1") == {"memory": 50}), then(lambda: found.put(away)), until(lambda: score(found, "c1") == {})
    )


async def test_on_a_hub_without_the_kind_nothing_is_written() -> None:
    found = hub()
    found.served.clear()
    await published(found, lambda: asyncio.sleep(0.2))
    assert score(found, "c1") is None
