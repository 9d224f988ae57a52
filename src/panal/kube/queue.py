"""The work queue between changes and the workers that reconcile them.

A key is in the queue at most once, and at most one worker has it: a key that is added meanwhile waits until the worker calls `done`.
A worker calls `key = await queue.get()`, then `forget` or `retry`, and always `done`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from panal.kube.backoff import Backoff
from panal.kube.clock import Clock, SystemClock

K = TypeVar("K", bound=Hashable)

RETRIES = Backoff(first=0.25, cap=45)


@dataclass(frozen=True, slots=True)
class _Timer:
    due: float
    task: asyncio.Task[None]


class Waiting(NamedTuple):
    """How many keys are to be reconciled, and for how many seconds the one that was added first has waited. A key that a worker has counts
    if it was added again meanwhile; a key that is due later does not."""

    keys: int = 0
    seconds: float = 0.0


class WorkQueue(Generic[K]):
    def __init__(self, clock: Clock | None = None, retries: Backoff = RETRIES) -> None:
        self._clock = clock or SystemClock()
        self._retries = retries
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._wanted: dict[K, float] = {}  # in `_ready`, or added to it when its worker is done; since when, the oldest first
        self._active: set[K] = set()
        self._timers: dict[K, _Timer] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        """The number of keys that wait for a worker."""
        return self._ready.qsize()

    def waiting(self) -> Waiting:
        oldest = next(iter(self._wanted.values()), None)
        return Waiting() if oldest is None else Waiting(len(self._wanted), self._clock.monotonic() - oldest)

    def add(self, key: K) -> None:
        if key in self._wanted:
            return
        self._wanted[key] = self._clock.monotonic()
        if key not in self._active:
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Adds the key after that time. Of several calls for one key only the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        timer = self._timers.get(key)
        if timer and timer.due <= due:
            return
        if timer:
            timer.task.cancel()
        self._timers[key] = _Timer(due, asyncio.create_task(self._add_later(key, seconds)))

    def retry(self, key: K, at_least: float = 0.0) -> float:
        """Adds the key after a delay that doubles with each `retry` since the last `forget`. `at_least`: the shortest delay. Returns the
        delay in seconds."""
        self._failures[key] = self.failures(key) + 1
        seconds = max(self._retries.delay(self._failures[key]), at_least)
        self.add_after(key, seconds)
        return seconds

    def failures(self, key: K) -> int:
        """The number of retries since the last `forget`."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """Resets the delay of the next `retry`. Called after a successful reconcile."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        key = await self._ready.get()
        self._wanted.pop(key, None)
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        self._active.discard(key)
        if key in self._wanted:
            self._ready.put_nowait(key)

    def close(self) -> None:
        """Drops all keys that are due later."""
        for timer in self._timers.values():
            timer.task.cancel()
        self._timers.clear()

    async def _add_later(self, key: K, seconds: float) -> None:
        await self._clock.sleep(seconds)
        del self._timers[key]
        self.add(key)
