"""Times as whole nanoseconds since 1970, which neither overflow nor lose precision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME = 2**80


def nanoseconds(time: datetime | str) -> int:
    """Of a time that knows its zone, or one as in a Kubernetes object."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def moment(time: int) -> datetime | None:
    """None where it lies after the year 9999."""
    try:
        return EPOCH + timedelta(microseconds=time // 1000)
    except OverflowError:
        return None
