"""Kubernetes' two time formats: to the second (Time) and to the microsecond (MicroTime)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], datetime]


def now_utc() -> datetime:
    return datetime.now(UTC)


def to_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_time(text: str) -> datetime:
    """Parses both formats."""
    return datetime.fromisoformat(text)
