"""`panal suspend`, `resume`, `stop` and `delete`."""

from __future__ import annotations

import asyncio
import time

from panal.api.types import StorageType
from panal.cli import output
from panal.cli.access import Access
from panal.cli.problem import Code, Problem
from panal.cli.run import done, find
from panal.cli.spec_changes import Switch, switch
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.kinds import FEDERATED_LEARNING
from panal.kube.objects import Object

ASK_AGAIN = 0.3  # seconds


def change(access: Access, name: str, namespace: str | None, field: Switch, value: bool) -> Code:
    """Sets `spec.suspend` or `spec.stop`."""

    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace)
            output.line(f"{name}: {await switch(client, run, field, value)}")
            return Code.OK

    return done(work(), access)


def delete(access: Access, name: str, namespace: str | None, within: float | None) -> Code:
    """Returns when the run is deleted. Raises Problem if that takes more than `within` seconds."""

    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace)
            metadata = run["metadata"]
            await client.delete(FEDERATED_LEARNING, metadata["namespace"], name, metadata["uid"])
            await _gone(client, metadata, within)
            output.line(f"{name} deleted; {kept(run)}")
            return Code.OK

    return done(work(), access)


async def _gone(client: Client, metadata: Object, within: float | None) -> None:
    """Waits until the run is deleted; the clusters' agents remove its collaborators first."""
    until = time.monotonic() + within if within is not None else None
    while True:
        try:
            now = await client.get(FEDERATED_LEARNING, metadata["namespace"], metadata["name"])
        except NotFound:
            return
        if now["metadata"]["uid"] != metadata["uid"]:
            return
        if until is not None and time.monotonic() >= until:
            message = f"{metadata['name']} is still being deleted after {within:g} s: the clusters' agents remove their collaborators first"
            raise Problem(Code.TIMEOUT, message, "The deletion continues; after a time limit it no longer waits for unreachable clusters.")
        await asyncio.sleep(ASK_AGAIN)


def kept(run: Object) -> str:
    """A sentence about what a deletion keeps."""
    storage = (run["spec"].get("server") or {}).get("storage") or {}
    volume, where = storage.get("name"), "the volume of its model is kept"
    if storage.get("type") == StorageType.S3_BUCKET:
        where = f"what it stored in bucket {storage['s3']['bucketName']} is kept"
    elif storage.get("type") == StorageType.HOST_PATH:
        where = f"what it stored in {storage['path']} on the hub's node is kept"
    elif volume:
        where = f"the volume {volume} in namespace {run['metadata']['namespace']} is kept"
    uri = ((run.get("status") or {}).get("model") or {}).get("uri")
    return f"{where}, with its model: {uri}" if uri else where
