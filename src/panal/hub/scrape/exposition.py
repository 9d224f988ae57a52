"""The text that a scrape gets: the process's own metrics, and those derived from the hub.

It is made in a thread, so that the event loop goes on. One text is made at a time, and it is given again for SHARE times the time that it
took: whoever asks in a loop, which any Pod that reaches the port can, gets at most a fifth of a core.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from panal.hub.scrape.series import families
from panal.hub.scrape.snapshot import Snapshot

SHARE = 4
OPEN_METRICS = "application/openmetrics-text"


class Text(NamedTuple):
    body: bytes
    content_type: str


class _Made(NamedTuple):
    text: Text
    until: float


class Exposition:
    """`take` returns what the metrics of the hub are derived from; None if this process has none of them."""

    def __init__(self, take: Callable[[], Snapshot | None]) -> None:
        self._take = take
        self._making = asyncio.Lock()
        self._made: dict[str, _Made] = {}  # by content type

    async def text(self, accept: str) -> Text:
        """In OpenMetrics or Prometheus' own format, as the header Accept asks for. Its parameters are ignored: there is one text to be kept
        in each format."""
        encode, content_type = choose_encoder(f"{OPEN_METRICS}; version=1.0.0" if OPEN_METRICS in accept else "")
        async with self._making:
            made = self._made.get(content_type)
            if made is None or time.monotonic() >= made.until:
                snapshot, began = self._take(), time.monotonic()
                body = await asyncio.to_thread(encode, _Everything(snapshot))
                ended = time.monotonic()
                made = self._made[content_type] = _Made(Text(body, content_type), ended + SHARE * (ended - began))
            return made.text


class _Everything:
    """What an encoder takes for a registry."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        if self._snapshot is not None:
            yield from families(self._snapshot)
