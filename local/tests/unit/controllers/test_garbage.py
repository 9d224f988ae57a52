"""Garbage collection with the local API server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from embedded import Embedded
from panal.kube.client import Client
from panal.kube.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, Kind
from panal_local.controllers.garbage import Garbage

OWNERS = Kind("example.com", "v1", "Owner", "owners")
OLDER = Kind("example.com", "v1beta1", "Older", "olders")  # in a version that its group does not prefer


def definition(kind: Kind):
    names = {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower(), "listKind": f"{kind.kind}List"}
    version = {"name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITION.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITION.kind,
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def config_map(name, owner):
    metadata = {"name": name, "namespace": "default", "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


GONE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "absent", "uid": "0"}


@pytest.fixture
async def client(tmp_path):
    server = Embedded(tmp_path).start()
    try:
        async with Client.from_kubeconfig(server.kubeconfig) as client:
            await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
            yield client
    finally:
        server.stop()


@asynccontextmanager
async def collecting(client):
    work = asyncio.create_task(Garbage(client).run())
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def test_an_owner_of_a_new_kind_is_found(client):
    unknown = {"apiVersion": "example.com/v7", "kind": "Unknown", "name": "x", "uid": "1"}
    async with collecting(client):
        await deleted(client, config_map("first", GONE))  # kinds have been looked for by now
        owner = await made(client, OWNERS)
        reference = {"apiVersion": "example.com/v1", "kind": "Owner", "name": "one", "uid": owner["metadata"]["uid"]}
        for kept in (config_map("owned", reference), config_map("undecided", unknown)):
            await client.apply(kept)
        await deleted(client, config_map("second", GONE))
        assert {c["metadata"]["name"] for c in (await client.list(CONFIG_MAP)).items} >= {"owned", "undecided"}


async def test_kinds_of_a_version_that_is_not_the_preferred_one_are_collected(client):
    await made(client, OWNERS)
    await made(client, OLDER, ownerReferences=[GONE])
    async with collecting(client), asyncio.timeout(20):
        while (await client.list(OLDER)).items:
            await asyncio.sleep(0.05)


async def deleted(client, obj):
    """Waits until the collector has deleted an object, twice, so that it has checked all earlier objects."""
    for _ in range(2):
        await client.apply(obj)
        async with asyncio.timeout(20):
            while any(c["metadata"]["name"] == obj["metadata"]["name"] for c in (await client.list(CONFIG_MAP)).items):
                await asyncio.sleep(0.05)


async def made(client, kind, **metadata):
    """An object of a new kind."""
    await client.apply(definition(kind))
    async with asyncio.timeout(20):
        while not await client.serves(kind):
            await asyncio.sleep(0.05)
    about = {"name": "one", "namespace": "default"} | metadata
    return await client.apply({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": about}, kind=kind)
