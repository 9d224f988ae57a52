"""A client that speaks a kind in another version."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from panal.addon.versions import from_v1beta1, to_v1beta1
from panal.hub.addon.versions import forms, has
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.connection import Request
from panal.kube.errors import NotFound
from panal.kube.forms import Form
from panal.kube.objects import Object

GROUP = "addon.open-cluster-management.io"
OLD, NEW = f"{GROUP}/v1alpha1", f"{GROUP}/v1beta1"
METADATA = {"name": "fl-collaborator", "namespace": "c1", "resourceVersion": "7", "uid": "u"}
OURS = {"signerName": "fl.panal/collaborator"}
STORED = {"metadata": METADATA, "status": {"registrations": [{"type": "customSigner", "customSigner": OURS}]}}
READ = {"apiVersion": NEW, "kind": "ManagedClusterAddOn", "metadata": METADATA, "status": {"registrations": [OURS]}}


class Server:
    """A connection to a hub that has these versions of the add-on API, and one object."""

    def __init__(self, *versions: str) -> None:
        self.versions = versions
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Object:
        self.sent.append(request)
        if request.path in (f"/apis/{OLD}", f"/apis/{NEW}"):
            if request.path.removeprefix("/apis/") not in self.versions:
                raise NotFound(404, "NotFound", "no such version")
            return {"resources": [{"name": kind.plural} for kind in kinds.LATER_ADDONS]}
        if request.verb == "list":
            return {"metadata": {"resourceVersion": "7"}, "items": [STORED]}
        return {"apiVersion": NEW, "kind": "ManagedClusterAddOn"} | STORED

    @asynccontextmanager
    async def stream(self, request: Request, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        self.sent.append(request)

        async def lines() -> AsyncIterator[bytes]:
            yield json.dumps({"type": "ADDED", "object": {"apiVersion": NEW, "kind": "ManagedClusterAddOn"} | STORED}).encode()
            yield json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}}).encode()

        yield lines()


def speaking() -> tuple[Client, Server]:
    server = Server(OLD, NEW)
    client = Client(server)  # type: ignore[arg-type]
    writing = client.while_leading(lambda: True)
    client.speak({kind: Form(later, from_v1beta1, to_v1beta1) for kind, later in kinds.LATER_ADDONS.items()})
    client.speak({later: Form(later, from_v1beta1, to_v1beta1) for later in kinds.LATER_ADDONS.values()})
    return writing, server


async def test_the_later_version_is_spoken_where_it_is_served() -> None:
    for versions, wanted in (((OLD,), None), ((OLD, NEW), NEW), ((NEW,), NEW), ((), None)):
        client: Any = Client(Server(*versions))  # type: ignore[arg-type]
        assert await has(client, kinds.MANAGED_CLUSTER_ADDON) is bool(versions)
        client.speak(await forms(client))
        assert await client.serves(kinds.MANAGED_CLUSTER_ADDON) is bool(versions)
        await client.get(kinds.MANAGED_CLUSTER_ADDON, "c1", "fl-collaborator")
        assert client._connection.sent[-1].path.startswith(f"/apis/{wanted or OLD}/namespaces/c1/")


async def test_what_is_read_has_the_usual_form_and_its_own_version() -> None:
    client, server = speaking()
    kind = kinds.MANAGED_CLUSTER_ADDON
    assert await client.get(kind, "c1", "fl-collaborator") == READ
    assert (await client.list(kind)).items == [READ]
    async with client.watch(kind, "7") as events:
        assert [event.object async for event in events] == [READ, {"metadata": {"resourceVersion": "8"}}]
    assert all(request.path.startswith(f"/apis/{NEW}/") for request in server.sent)


async def test_what_is_written_has_the_servers_form() -> None:
    client, server = speaking()
    patch = {"status": {"registrations": [OURS]}}
    for kind in (kinds.MANAGED_CLUSTER_ADDON, kinds.kind_of(READ)):
        assert await client.merge_patch(kind, "c1", "fl-collaborator", patch, "status") == READ
        assert server.sent[-1].body == {"status": STORED["status"]}
    for version in (OLD, NEW):
        assert await client.apply_status(READ | {"apiVersion": version}) == READ
        sent: Any = server.sent[-1].body
        assert (sent["apiVersion"], sent["status"]) == (NEW, STORED["status"])
    assert all(request.path == f"/apis/{NEW}/namespaces/c1/managedclusteraddons/fl-collaborator/status" for request in server.sent)


async def test_other_kinds_are_sent_as_they_are() -> None:
    client, server = speaking()
    work = {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": METADATA,
        "status": {"registrations": [1]},
    }
    await client.apply(work)
    assert server.sent[-1].body == work
