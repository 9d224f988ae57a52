"""Whether statuses are up to date: the controller renews its Lease every few seconds while it runs.

A user who may not read the Lease, or a hub without the Lease, gets no warning: then it is not known.
"""

from __future__ import annotations

from datetime import datetime

from panal.cli.output import age
from panal.client import story
from panal.kube.objects import Object


def warning(since: datetime) -> str:
    return f"the controller has been unavailable for {age(since.isoformat())}: the status of a run that has not ended may be out of date"


def phase(run: Object, since: datetime | None) -> str:
    """The phase to show; with its age if the controller does not update it."""
    shown = str((run.get("status") or {}).get("phase", ""))
    return f"{shown or 'Unknown'}, {age(since.isoformat())} ago" if since and not story.ended(run) else shown
