"""The list of cluster sets that others have bound, and that it keeps every set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api import api
from embedded import Embedded
from panal.api import names
from panal.hub import bound_sets
from panal.hub.bound_sets import BoundSets, known, listed
from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.errors import Invalid
from panal.kube.objects import Object
from panal_local.ocm import crds
from panal_local.ocm.writing import serve

NS = names.SYSTEM_NAMESPACE


def binding(name: str, namespace: str = "team", **more: object) -> Object:
    metadata = {"name": name, "namespace": namespace} | more
    kind = kinds.MANAGED_CLUSTER_SET_BINDING
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {"clusterSet": name}}


OURS = binding("ours", labels=dict(names.MANAGED_BY))


A, B, C = frozenset({"a"}), frozenset({"b"}), frozenset({"c"})


def annotations(bound: dict[str, str], gone: dict[str, str] | None = None) -> dict[str, str]:
    ours = {f"{names.ANNOTATION_BOUND}{namespace}": sets for namespace, sets in bound.items()}
    return ours | {f"{names.ANNOTATION_GONE}{namespace}": sets for namespace, sets in (gone or {}).items()}


@pytest.mark.parametrize(
    ("before", "remembered", "bindings", "after"),
    [
        (({}, {}), {}, [], ({}, {})),
        (({}, {}), {}, [binding("b"), binding("a"), binding("c", "other"), OURS], ({"team": "a,b", "other": "c"}, {})),
        (({"team": "a,b"}, {}), {}, [binding("a")], ({"team": "a"}, {"team": "b"})),
        (({"team": "a"}, {}), {}, [], ({}, {"team": "a"})),
        (({"team": "a"}, {}), {}, [binding("a", deletionTimestamp="2026-03-01T12:00:00Z")], ({}, {"team": "a"})),
        (({}, {"team": "a,b"}), {}, [binding("a")], ({"team": "a"}, {"team": "b"})),
        (({}, {"team": "ours"}), {}, [OURS], ({}, {"team": "ours"})),
        (({"team": ""}, {"team": ","}), {}, [], ({}, {})),
        (({}, {}), {"team": A | B, "other": C}, [binding("a")], ({"team": "a"}, {"team": "b", "other": "c"})),
    ],
)
def test_a_set_stays_in_the_list_once_others_have_bound_it(
    before: tuple[dict[str, str], dict[str, str]],
    remembered: dict[str, frozenset[str]],
    bindings: list[Object],
    after: tuple[dict[str, str], dict[str, str]],
) -> None:
    found = listed(annotations(*before), remembered, bindings)
    assert found == annotations(*after)
    assert listed(found, known(found), bindings) == found
    for namespace, sets in (*known(annotations(*before)).items(), *remembered.items()):
        assert sets <= known(found).get(namespace, frozenset())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    server = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        asyncio.run(_define(server.kubeconfig))
        yield server.kubeconfig
    finally:
        server.stop()


async def _define(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, crds.hub())
        for namespace in (NS, "team"):
            await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})


ROLE: Object = {
    "apiVersion": kinds.ROLE.api_version,
    "kind": kinds.ROLE.kind,
    "metadata": {"name": names.BOUND_SETS, "namespace": NS, "annotations": {"helm.example/of-others": "kept"}},
    "rules": [],
}


async def _annotations(client: Client) -> dict[str, str]:
    found: dict[str, str] = (await client.get(kinds.ROLE, NS, names.BOUND_SETS))["metadata"]["annotations"]
    return found


@asynccontextmanager
async def working(client: Client, namespace: str = NS) -> AsyncIterator[BoundSets]:
    """Runs BoundSets as a controller does, from when it is ready."""
    cache = Cache(client, [Watched(kinds.MANAGED_CLUSTER_SET_BINDING)])
    sets = BoundSets(client, cache, namespace)
    tasks = [asyncio.create_task(cache.run()), asyncio.create_task(sets.run())]
    try:
        await asyncio.wait_for(sets.ready.wait(), 60)
        yield sets
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


async def _until_listed(client: Client, wanted: dict[str, str]) -> None:
    async with asyncio.timeout(60):
        while await _annotations(client) != wanted | {"helm.example/of-others": "kept"}:
            await asyncio.sleep(0.05)


async def _until_known(sets: BoundSets, wanted: set[str]) -> None:
    async with asyncio.timeout(60):
        while not wanted <= sets.of_others("team"):
            await asyncio.sleep(0.05)


async def _until_refilled(client: Client) -> None:
    async with asyncio.timeout(60):
        while "former" not in (await _annotations(client)).get(f"{names.ANNOTATION_GONE}team", ""):
            await asyncio.sleep(0.05)


async def test_the_list_follows_the_bindings_and_survives_the_controller(hub: Path) -> None:
    async with Client.from_kubeconfig(hub) as client:
        await client.apply(ROLE)
        async with working(client) as sets:
            await client.apply(binding("a"))
            await _until_listed(client, annotations({"team": "a"}))
            assert sets.of_others("team") == {"a"}
            await client.delete(kinds.MANAGED_CLUSTER_SET_BINDING, "team", "a")
            await _until_listed(client, annotations({}, {"team": "a"}))
        async with working(client) as sets:
            assert sets.of_others("team") == {"a"}
        await _until_listed(client, annotations({}, {"team": "a"}))


async def test_a_recreated_role_is_filled_again(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound_sets, "CHECK_EVERY", 0.1)
    async with Client.from_kubeconfig(hub) as client:
        await client.apply(ROLE)
        async with working(client) as sets:
            await client.apply(binding("kept"))
            await client.apply(binding("former"))
            await _until_known(sets, {"kept", "former"})
            await client.delete(kinds.MANAGED_CLUSTER_SET_BINDING, "team", "former")
            await client.delete(kinds.ROLE, NS, names.BOUND_SETS)
            await client.apply(ROLE)
            await _until_refilled(client)
            assert {"kept", "former"} <= sets.of_others("team")


async def test_a_failed_write_does_not_block_the_controller(hub: Path) -> None:
    """The size of annotations is limited. The policy admits no run by a set that is not in the list."""
    async with Client.from_kubeconfig(hub) as client:
        await client.apply(ROLE)
        await client.apply(binding("b"))

        async def refused(*_: object) -> Object:
            raise Invalid(422, "Invalid", "metadata.annotations: Too long")

        client.merge_patch = refused  # type: ignore[assignment]
        async with working(client) as sets:
            assert "b" in sets.of_others("team")


async def test_without_the_role_the_list_is_empty(hub: Path) -> None:
    api(hub).make_namespace("elsewhere")
    async with Client.from_kubeconfig(hub) as client, working(client, "elsewhere") as sets:
        assert sets.of_others("team") == frozenset()


async def test_a_cancellation_that_comes_with_a_change_is_not_lost(hub: Path) -> None:
    """`asyncio.wait_for` of Python 3.11 returns the change, and forgets the cancellation."""
    async with Client.from_kubeconfig(hub) as client:
        await client.apply(ROLE)
        cache = Cache(client, [Watched(kinds.MANAGED_CLUSTER_SET_BINDING)])
        sets = BoundSets(client, cache, NS)
        following, task = asyncio.create_task(cache.run()), asyncio.create_task(sets.run())
        await asyncio.wait_for(sets.ready.wait(), 60)
        async with asyncio.timeout(60):
            while not sets._changed._waiters:
                await asyncio.sleep(0.01)
        sets._changed.set()
        task.cancel()
        following.cancel()
        done, _ = await asyncio.wait([task, following], timeout=60)
        assert task in done
        assert task.cancelled()
