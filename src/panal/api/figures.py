"""Amounts, times and what is left of a run, as people read them: for the command line and the dashboard. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import median

from panal.api.quantity import exact

LAST = 5  # rounds whose median counts
DIGITS = 7  # of a metric in the history: further ones are noise of float32
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def moment(text: object) -> datetime | None:
    """A time as Kubernetes writes it; None for anything else."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def at(seconds: float | None) -> datetime | None:
    """Seconds since 1970; None for what is not a time."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def duration(seconds: float) -> str:
    """Such as 0.4 s, 12 s, 5 min, 2 h 10 min, 3 d 4 h."""
    if not math.isfinite(seconds) or seconds < 0:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds else "0 s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def about(seconds: float) -> str:
    """What is left of a run, which is an estimate."""
    return f"about {duration(seconds)} left" if seconds >= 10 else "a few seconds left"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in one unit: it changes seldom, so that a page does not change all the time."""
    if since is None:
        return ""
    count, unit = in_one_unit((now - since).total_seconds())
    if unit == "s":
        count -= count % 15
    return f"{count} {unit}" if count else "now"


def ahead(time: datetime, now: datetime) -> str:
    """How long until then, in one unit."""
    count, unit = in_one_unit((time - now).total_seconds())
    return f"{count} {unit}" if unit != "s" else "less than 2 min"


def in_one_unit(seconds: float) -> tuple[int, str]:
    """Such as (12, "s"), (5, "min"), (3, "d"): in the largest unit of which there are two."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= 2 * size:
            return whole // size, unit
    return whole, "s"


def amount(size: float | None) -> str:
    """Bytes."""
    if size is None or not math.isfinite(size) or size < 0:
        return ""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"


def number(value: float | str | None) -> str:
    """A metric, to four digits: the same whether it comes from a status or, with DIGITS, from the history. One that is not finite is a
    text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{kept(value):.4g}"


def kept(value: float) -> float:
    """A metric as the history has it."""
    return float(f"{value:.{DIGITS}g}")


def signed(difference: float | None, change: str = "") -> str:
    """The difference of a metric, such as `+0.012 (better)`."""
    if difference is None:
        return ""
    return f"{difference:+.4g} ({change})" if change and difference else f"{difference:+.4g}"


def quantity(text: object) -> float | None:
    """A quantity of Kubernetes such as 24684092Ki; None if it is not one."""
    try:
        return float(exact(str(text)))
    except ValueError:
        return None


def left(seconds: Sequence[float], completed: int, total: int) -> float | None:
    """About how many seconds the remaining rounds take: as long each as the median of the last ones. None without a complete round."""
    known = [each for each in seconds if math.isfinite(each) and each >= 0][-LAST:]
    if not known or completed < 1 or total <= completed:
        return None
    return median(known) * (total - completed)


def named(count: int, one: str, many: str = "") -> str:
    """Such as `1 run`, `3 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str], most: int) -> str:
    """The first `most` of the names, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in ascending order, such as `2, 5 to 7`."""
    pieces: list[list[int]] = []
    for number in numbers:
        if pieces and number == pieces[-1][-1] + 1:
            pieces[-1].append(number)
        else:
            pieces.append([number])
    return ", ".join(f"{each[0]} to {each[-1]}" if len(each) > 2 else ", ".join(map(str, each)) for each in pieces)
