"""Deletes a run, and waits until it is gone."""

from __future__ import annotations

import asyncio
import time

from panal.api.types import StorageType
from panal.client.problem import Code, Problem
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.kinds import FEDERATED_LEARNING
from panal.kube.objects import Object

ASK_AGAIN = 0.3  # seconds


async def delete(client: Client, run: Object, within: float | None) -> None:
    """Returns when the run is deleted. Raises Problem if that takes more than `within` seconds."""
    metadata = run["metadata"]
    await client.delete(FEDERATED_LEARNING, metadata["namespace"], metadata["name"], metadata["uid"])
    await _gone(client, metadata, within)


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
