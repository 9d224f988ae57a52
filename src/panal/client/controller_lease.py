"""Since when the controller has not renewed its Lease. The command line and the dashboard say then that statuses may be out of date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from panal.api.names import CONTROLLER_LEASE, SYSTEM_NAMESPACE
from panal.kube.client import Client
from panal.kube.errors import ApiError
from panal.kube.kinds import LEASE
from panal.kube.objects import Object
from panal.kube.times import from_time, now_utc

SILENT = timedelta(seconds=60)  # twice the duration of a Lease: enough for another controller to take over, even if clocks differ
CHECK_EVERY = 10.0  # seconds between two checks while a run is followed


async def silent_since(client: Client) -> datetime | None:
    """When the controller last renewed its Lease, if that is longer ago than SILENT."""
    try:
        return stale(await client.get(LEASE, SYSTEM_NAMESPACE, CONTROLLER_LEASE), now_utc())
    except ApiError:
        return None


def stale(lease: Object, now: datetime) -> datetime | None:
    try:
        renewed = from_time((lease.get("spec") or {})["renewTime"])
    except (KeyError, ValueError, TypeError):
        return None
    return renewed if now - renewed > SILENT else None


async def tell(client: Client, say: Callable[[datetime | None], None]) -> None:
    """Until cancelled: reports when the controller becomes unavailable, and when it is available again."""
    reported = False
    while True:
        since = await silent_since(client)
        if bool(since) != reported:
            reported = not reported
            say(since)
        await asyncio.sleep(CHECK_EVERY)
