"""A bell that those who wait hear: something has changed, look again. It has no memory but that it rang."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def ring(self) -> None:
        for each in self._waiting:
            each.set()

    @contextmanager
    def heard(self, event: asyncio.Event) -> Iterator[None]:
        """Within the context, `event` is set at each ring."""
        self._waiting.add(event)
        try:
            yield
        finally:
            self._waiting.discard(event)
