"""Keeps the history of a run (`panal.pod.history`) beside the model and in its ConfigMap. Part of the reporter.

A run does not end because its history cannot be stored or written: it is tried again at the next change, and at the end.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from panal.api.history import for_config_map
from panal.api.progress import Progress
from panal.kube.errors import Invalid, KubeError
from panal.pod.history import HistoryLog
from panal.pod.pausing import pause

log = logging.getLogger("panal.reporter")

RATE = 20_000  # bytes that are written to the ConfigMap in a second
PAUSE = 0.5  # seconds between two looks
PATIENCE = 10.0  # seconds, for a storage that does not answer
DAMAGED = (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError)  # what a checkpoint has is no history


@dataclass(slots=True)
class Historian:
    """`folder` is that of the run's model. `state` returns the progress. `write` sets the `binaryData` of the ConfigMap."""

    history: HistoryLog
    folder: Path
    state: Callable[[], Progress]
    write: Callable[[Mapping[str, str]], Awaitable[None]]
    written: int = 0  # the version that the ConfigMap has

    async def load(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.to_thread(self.history.load, self.folder)
        except (OSError, TimeoutError) as error:
            log.warning("the history that was stored cannot be read: %r", error)

    def restore(self, packed: bytes, round_: int) -> None:
        """Takes the rounds up to `round_` from a checkpoint."""
        try:
            self.history.restore(packed, round_)
        except DAMAGED as error:
            log.warning("the history before round %d is lost: %r", round_ + 1, error)

    async def store(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.to_thread(self.save)
            await pause(stop, PAUSE)

    def save(self) -> None:
        rows = list(self.history.rows)
        try:
            if rows != self.history.saved:
                self.history.save(self.folder, rows)
        except OSError as error:
            log.warning("the history is not stored: %s", error)

    async def report(self, stop: asyncio.Event) -> None:
        """A large history is written less often."""
        while not stop.is_set():
            size = await self.write_change()
            await pause(stop, max(PAUSE, size / RATE))

    async def write_change(self) -> int:
        """Writes the history to its ConfigMap if it has changed. Returns the bytes that were written."""
        version = self.history.version
        if version == self.written:
            return 0
        packed = await asyncio.to_thread(self.history.shortened, self.state())
        try:
            await self.write(for_config_map(packed))
        except Invalid as error:
            log.warning("the history is not written until it changes: %s", error)
        except KubeError as error:
            log.warning("the hub's API: %s", error)
            return 0
        self.written = version
        return len(packed)
