"""Whether statuses are up to date: the controller renews its Lease every few seconds while it runs.

A user who may not read the Lease, or a hub without the Lease, gets no warning: then it is not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from panal.api.names import CONTROLLER_LEASE, SYSTEM_NAMESPACE
from panal.cli import story
from panal.cli.output import age
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


def warning(since: datetime) -> str:
    return f"the controller has been unavailable for {age(since.isoformat())}: the status of a run that has not ended may be out of date"


def phase(run: Object, since: datetime | None) -> str:
    """The phase to show; with its age if the controller does not update it."""
    shown = str((run.get("status") or {}).get("phase", ""))
    return f"{shown or 'Unknown'}, {age(since.isoformat())} ago" if since and not story.ended(run) else shown


async def tell(client: Client, say: Callable[[datetime | None], None]) -> None:
    """Until cancelled: reports when the controller becomes unavailable, and when it is available again."""
    reported = False
    while True:
        since = await silent_since(client)
        if bool(since) != reported:
            reported = not reported
            say(since)
        await asyncio.sleep(CHECK_EVERY)
