"""The list of cluster sets that others have bound: what it says, and that a set in it is never bound by the controller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import api
from embedded import Embedded
from panal.api import names
from panal.api.ocm import crds
from panal.hub.bound_sets import BoundSets, known, listed
from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.objects import Object
from panal.local.ocm.writing import serve

NS = names.SYSTEM_NAMESPACE


def binding(name: str, namespace: str = "team", **more: object) -> Object:
    metadata = {"name": name, "namespace": namespace} | more
    kind = kinds.MANAGED_CLUSTER_SET_BINDING
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {"clusterSet": name}}


OURS = binding("ours", labels=dict(names.MANAGED_BY))


@pytest.mark.parametrize(
    ("before", "bindings", "after"),
    [
        ({}, [], {}),
        ({}, [binding("b"), binding("a"), binding("c", "other"), OURS], {"team": "a,b", "other": "c"}),
        ({"team": "a,b"}, [binding("a")], {"team": "a", "gone.team": "b"}),
        ({"team": "a"}, [], {"gone.team": "a"}),
        ({"team": "a"}, [binding("a", deletionTimestamp="2026-03-01T12:00:00Z")], {"gone.team": "a"}),
        ({"gone.team": "a,b"}, [binding("a")], {"team": "a", "gone.team": "b"}),
        ({"gone.team": "ours"}, [OURS], {"gone.team": "ours"}),
        ({"team": "", "gone.team": ","}, [], {}),
    ],
)
def test_a_set_stays_in_the_list_once_others_have_bound_it(before: dict[str, str], bindings: list[Object], after: dict[str, str]) -> None:
    found = listed(before, bindings)
    assert found == after
    assert listed(found, bindings) == found
    assert all(known(before)[namespace] <= known(found).get(namespace, frozenset()) for namespace in known(before))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        asyncio.run(_define(made.kubeconfig))
        yield made.kubeconfig
    finally:
        made.stop()


async def _define(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, crds.hub())
        for namespace in (NS, "team"):
            await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})


async def _until(question: object) -> None:
    async with asyncio.timeout(60):
        while not await question():  # type: ignore[operator]
            await asyncio.sleep(0.05)


async def test_the_list_follows_the_bindings_and_outlives_the_controller(hub: Path) -> None:
    async with Client.from_kubeconfig(hub) as client:
        data: dict[str, str] = {}

        async def listed_now(wanted: dict[str, str]) -> bool:
            nonlocal data
            data = (await client.get(kinds.CONFIG_MAP, NS, names.BOUND_SETS)).get("data") or {}
            return data == wanted

        async def working(act: object, wanted: dict[str, str]) -> frozenset[str]:
            """A controller from its start until the list is as wanted."""
            cache = Cache(client, [Watched(kinds.MANAGED_CLUSTER_SET_BINDING)])
            sets = BoundSets(client, cache, NS)
            tasks = [asyncio.create_task(cache.run()), asyncio.create_task(sets.run())]
            try:
                await sets.ready.wait()
                await act  # type: ignore[misc]
                await _until(lambda: listed_now(wanted))
                return sets.of_others("team")
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        await client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": names.BOUND_SETS, "namespace": NS}})
        assert await working(client.apply(binding("a")), {"team": "a"}) == {"a"}
        assert await working(client.delete(kinds.MANAGED_CLUSTER_SET_BINDING, "team", "a"), {"gone.team": "a"}) == {"a"}
        assert await working(asyncio.sleep(0), {"gone.team": "a"}) == {"a"}


async def test_without_the_list_there_is_nothing_to_do(hub: Path) -> None:
    api(hub).make_namespace("elsewhere")
    async with Client.from_kubeconfig(hub) as client:
        cache = Cache(client, [Watched(kinds.MANAGED_CLUSTER_SET_BINDING)])
        sets = BoundSets(client, cache, "elsewhere")
        tasks = [asyncio.create_task(cache.run()), asyncio.create_task(sets.run())]
        try:
            await asyncio.wait_for(sets.ready.wait(), 60)
            assert sets.of_others("team") == frozenset()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
