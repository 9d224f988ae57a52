"""Whether statuses are kept up to date: the controller renews its Lease every few seconds, and one that is not there renews none.

Who may not read the Lease, or does not find it, is told nothing: then nothing is known.
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

SILENT = timedelta(seconds=60)  # twice the life of a Lease: another controller has taken over by then, and clocks may differ a little
LOOK = 10.0  # seconds between two looks while a run is followed


async def silent_since(client: Client) -> datetime | None:
    """When the controller was heard of last, if that is too long ago."""
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
    return f"the controller has been away for {age(since.isoformat())}: what is shown of a run that has not ended may be out of date"


def phase(run: Object, since: datetime | None) -> str:
    """A phase that is not kept up to date is shown with its age."""
    shown = str((run.get("status") or {}).get("phase", ""))
    return f"{shown or 'Unknown'}, {age(since.isoformat())} ago" if since and not story.ended(run) else shown


async def tell(client: Client, say: Callable[[datetime | None], None]) -> None:
    """Until cancelled: says when the controller is away, and when it is back."""
    told = False
    while True:
        since = await silent_since(client)
        if bool(since) != told:
            told = not told
            say(since)
        await asyncio.sleep(LOOK)
