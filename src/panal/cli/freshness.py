"""Whether statuses are up to date: the controller renews its Lease every few seconds while it runs.

A user who may not read the Lease, or a hub without the Lease, gets no warning: then it is not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from panal.cli import story
from panal.cli.controller_lease import silent_since
from panal.cli.output import age
from panal.kube.client import Client
from panal.kube.objects import Object

CHECK_EVERY = 10.0  # seconds between two checks while a run is followed


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
