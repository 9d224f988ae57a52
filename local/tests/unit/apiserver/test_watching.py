"""Watches and lists through panal's client: no change is missed, and expired versions are reported."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from embedded import Embedded
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client, Selector
from panal.kube.errors import Gone
from panal.kube.kinds import CONFIG_MAP, LEASE
from panal.kube.objects import key_of, version_of
from panal_local.apiserver.store import HISTORY, Busy, Store


@pytest.fixture
async def client(server):
    async with Client.from_kubeconfig(server.kubeconfig) as client:
        yield client


def config_map(name, labels=None, **data):
    metadata = {"namespace": "default", "name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_a_watch_continues_from_a_list(client):
    listing = await client.list(CONFIG_MAP)
    await client.create(config_map("a", x="1"))
    await client.merge_patch(CONFIG_MAP, "default", "a", {"data": {"x": "2"}})
    await client.merge_patch(CONFIG_MAP, "default", "a", {"data": {"x": "2"}})  # changes nothing, so there is no event
    await client.delete(CONFIG_MAP, "default", "a")
    async with client.watch(CONFIG_MAP, listing.resource_version) as events:
        lines = [await anext(events) for _ in range(3)]
    assert [(e.type, e.object["data"]["x"]) for e in lines] == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]
    versions = [int(version_of(e.object)) for e in lines]
    assert versions == sorted(set(versions))


async def test_objects_enter_and_leave_a_selection(client):
    version = (await client.list(CONFIG_MAP)).resource_version
    await client.create(config_map("s"))
    for labels in ({"run": "r"}, {"run": "r", "more": "m"}, {"run": None}):
        await client.merge_patch(CONFIG_MAP, "default", "s", {"metadata": {"labels": labels}})
    async with client.watch(CONFIG_MAP, version, Selector(labels="run=r")) as events:
        lines = [(await anext(events)).type for _ in range(3)]
    assert lines == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_list_is_complete_with_any_limit(client):
    for i in range(7):
        await client.create(config_map(f"p{i}", {"of": "pages"}))
    listing = await client.list(CONFIG_MAP, Selector("default", labels="of=pages"), page_size=3)
    assert [key_of(o).name for o in listing.items] == [f"p{i}" for i in range(7)]


async def test_a_cache_is_updated(client):
    cache = Cache(client, [Watched(LEASE, namespace="default")])
    running = asyncio.create_task(cache.run())
    await asyncio.wait_for(cache.wait_synced(), 20)
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "default"}, "spec": {}}
    await client.create(lease)
    async with asyncio.timeout(20):
        while not cache.get(LEASE, "default", "l"):
            await asyncio.sleep(0.01)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_versions_before_the_start_are_expired(tmp_path):
    server = Embedded(tmp_path / "s").start()
    assert server.stop() == 0
    server.start()
    async with Client.from_kubeconfig(server.kubeconfig) as client:
        with pytest.raises(Gone, match="too old resource version"):
            async with client.watch(CONFIG_MAP, "2") as events:
                await anext(events)
    assert server.stop() == 0


async def test_an_abandoned_watch_is_removed(client, server):
    """A write after many abandoned watches notifies no watch, and logs no error."""
    for _ in range(20):
        async with client.watch(CONFIG_MAP, (await client.list(CONFIG_MAP)).resource_version):
            pass
    await client.create(config_map("after"))
    assert "Traceback" not in server.log()


# --- the store itself ---------------------------------------------------------------------------------------------
def put(store, name, **data):
    return store.put("configmaps", ("ns", name), {"kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": data})


def test_the_history_is_bounded_and_has_a_known_start(tmp_path):
    store = Store(tmp_path / "db")
    first = put(store, "a").version
    for _ in range(HISTORY):
        put(store, "a")
    assert store.oldest == first
    assert len(list(store.since("configmaps", store.version - 5))) == 5
    store.close()


def test_versions_continue_after_a_deletion_and_a_restart(tmp_path):
    store = Store(tmp_path / "db")
    put(store, "a")
    last = store.delete("configmaps", ("ns", "a")).version
    with pytest.raises(Busy):
        Store(tmp_path / "db")
    store.close()
    again = Store(tmp_path / "db")
    assert again.version == last
    assert put(again, "a").version == last + 1
    again.close()
