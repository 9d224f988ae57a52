"""Writes that the loops share. Each is guarded by the version that was looked at, and is left out where nothing would change."""

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
from panal_local.ocm.conditions import Condition, merged

log = logging.getLogger(__name__)

STARTING = Backoff(first=0.1, cap=1)


async def patch(client: Client, kind: Kind, obj: Object, changes: Object) -> bool:
    """Merges changes of metadata and spec; false if there are none. Conflict if somebody else wrote meanwhile."""
    if not changes:
        return False
    metadata = {"resourceVersion": version_of(obj)} | changes.get("metadata", {})
    await client.merge_patch(kind, *key_of(obj), changes | {"metadata": metadata})
    return True


async def patch_status(client: Client, kind: Kind, obj: Object, status: Object) -> bool:
    """The parts of the status that are given, where they are others than before. None takes a part away."""
    before = obj.get("status") or {}
    changed = {key: value for key, value in status.items() if before.get(key) != value}
    if not changed:
        return False
    body = {"metadata": {"resourceVersion": version_of(obj)}, "status": changed}
    await client.merge_patch(kind, *key_of(obj), body, "status")
    return True


async def say(client: Client, kind: Kind, obj: Object, news: Iterable[Condition], now: datetime) -> bool:
    return await patch_status(client, kind, obj, {"conditions": merged(conditions_of(obj), news, now)})


async def ensure(client: Client, obj: Object) -> None:
    """Makes it if there is none of that name."""
    try:
        await client.create(obj)
    except AlreadyExists:
        return


async def started(step: Callable[[], Awaitable[None]]) -> None:
    """Waits for an API server that does not answer yet, or does not serve all kinds yet."""
    failures = 0
    while True:
        try:
            return await step()
        except KubeError as error:
            failures += 1
            log.warning("starting: %s", error)
            await asyncio.sleep(STARTING.delay(failures))


async def serve(client: Client, definitions: Iterable[Object]) -> None:
    """Makes the API server know these kinds; returns when it does."""
    for crd in definitions:
        await client.apply(crd)
    for crd in definitions:
        await _established(client, crd["metadata"]["name"])


async def _established(client: Client, name: str) -> None:
    """The watch, and not a look again and again, tells when."""
    selector = Selector(fields=f"metadata.name={name}")
    listing = await client.list(kinds.CUSTOM_RESOURCE_DEFINITION, selector)
    if any(holds(crd, "Established") for crd in listing.items):
        return
    async with client.watch(kinds.CUSTOM_RESOURCE_DEFINITION, listing.resource_version, selector, seconds=20) as events:
        async for event in events:
            if holds(event.object, "Established"):
                return
