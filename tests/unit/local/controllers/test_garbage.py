"""What lost its owners goes, and nothing else: at the embedded API server."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from embedded import Embedded
from panal.kube.client import Client
from panal.kube.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, Kind
from panal.local.controllers.garbage import Garbage

OWNERS = Kind("example.com", "v1", "Owner", "owners")
CRD = {
    "apiVersion": CUSTOM_RESOURCE_DEFINITION.api_version,
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "owners.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Owner", "plural": "owners", "singular": "owner", "listKind": "OwnerList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
    },
}


def config_map(name, owner):
    metadata = {"name": name, "namespace": "default", "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def test_an_owner_whose_kind_was_added_a_moment_ago_is_known(tmp_path):
    server = Embedded(tmp_path).start()
    try:
        async with Client.from_kubeconfig(server.kubeconfig) as client:
            await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
            work = asyncio.create_task(Garbage(client).run())
            gone = {"apiVersion": "v1", "kind": "ConfigMap", "name": "absent", "uid": "0"}
            unknown = {"apiVersion": "example.com/v7", "kind": "Unknown", "name": "x", "uid": "1"}
            await deleted(client, config_map("first", gone))  # kinds have been looked for by now
            await client.apply(CRD)
            owner = await made(client)
            reference = {"apiVersion": "example.com/v1", "kind": "Owner", "name": "one", "uid": owner["metadata"]["uid"]}
            for kept in (config_map("owned", reference), config_map("undecided", unknown)):
                await client.apply(kept)
            await deleted(client, config_map("second", gone))
            assert {c["metadata"]["name"] for c in (await client.list(CONFIG_MAP)).items} >= {"owned", "undecided"}
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
    finally:
        server.stop()


async def deleted(client, obj):
    """Returns when the collector has deleted it, and then once more, so that all that was there before has been looked at."""
    for _ in range(2):
        await client.apply(obj)
        async with asyncio.timeout(20):
            while any(c["metadata"]["name"] == obj["metadata"]["name"] for c in (await client.list(CONFIG_MAP)).items):
                await asyncio.sleep(0.05)


async def made(client):
    body = {"apiVersion": "example.com/v1", "kind": "Owner", "metadata": {"name": "one", "namespace": "default"}}
    async with asyncio.timeout(20):
        while not await client.serves(OWNERS):
            await asyncio.sleep(0.05)
    return await client.apply(body, kind=OWNERS)
