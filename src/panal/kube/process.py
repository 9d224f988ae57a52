"""What the processes of controllers share: they run until SIGTERM, and end with one line about what ended them."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("panal")


async def until_terminated(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` until it ends, or SIGTERM or SIGINT cancels it."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("terminated")


def first_error(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first exception that is not a group, at any depth."""
    inner = group.exceptions[0]
    return first_error(inner) if isinstance(inner, ExceptionGroup) else inner  # type: ignore[return-value]
