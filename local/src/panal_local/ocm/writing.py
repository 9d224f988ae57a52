"""Writes that the loops share. A write is skipped if it changes nothing, and fails with Conflict if the object has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from panal.kube import kinds
from panal.kube.backoff import Backoff
from panal.kube.client import Client, Selector
from panal.kube.errors import AlreadyExists, KubeError
from panal.kube.kinds import Kind
from panal.kube.objects import Object, conditions_of, holds, key_of, version_of
from panal_local.ocm.conditions import Condition, merge_conditions

log = logging.getLogger(__name__)

STARTING = Backoff(first=0.1, cap=1)


async def patch(client: Client, kind: Kind, obj: Object, changes: Object) -> bool:
    """Merges changes of metadata and spec. Returns False if there are none. Raises Conflict if the object has changed."""
    if not changes:
        return False
    metadata = {"resourceVersion": version_of(obj)} | changes.get("metadata", {})
    await client.merge_patch(kind, *key_of(obj), changes | {"metadata": metadata})
    return True


async def patch_status(client: Client, kind: Kind, obj: Object, status: Object) -> bool:
    """Writes the given fields of the status if they differ; None removes a field. Returns whether it wrote. Raises Conflict."""
    before = obj.get("status") or {}
    changed = {key: value for key, value in status.items() if before.get(key) != value}
    if not changed:
        return False
    body = {"metadata": {"resourceVersion": version_of(obj)}, "status": changed}
    await client.merge_patch(kind, *key_of(obj), body, "status")
    return True


async def update_conditions(client: Client, kind: Kind, obj: Object, updates: Iterable[Condition], now: datetime) -> bool:
    return await patch_status(client, kind, obj, {"conditions": merge_conditions(conditions_of(obj), updates, now)})


async def ensure(client: Client, obj: Object) -> None:
    """Creates the object if it does not exist."""
    try:
        await client.create(obj)
    except AlreadyExists:
        return


async def retried(step: Callable[[], Awaitable[None]]) -> None:
    """Runs the step until it succeeds: the API server may not respond yet, or not serve all kinds."""
    failures = 0
    while True:
        try:
            return await step()
        except KubeError as error:
            failures += 1
            log.warning("starting: %s", error)
            await asyncio.sleep(STARTING.delay(failures))


async def serve(client: Client, definitions: Iterable[Object]) -> None:
    """Applies CRDs, and returns when the API server serves them."""
    for crd in definitions:
        await client.apply(crd)
    for crd in definitions:
        await _established(client, crd["metadata"]["name"])


async def _established(client: Client, name: str) -> None:
    """Watches the CRD until it is Established."""
    selector = Selector(fields=f"metadata.name={name}")
    listing = await client.list(kinds.CUSTOM_RESOURCE_DEFINITION, selector)
    if any(holds(crd, "Established") for crd in listing.items):
        return
    async with client.watch(kinds.CUSTOM_RESOURCE_DEFINITION, listing.resource_version, selector, seconds=20) as events:
        async for event in events:
            if holds(event.object, "Established"):
                return
