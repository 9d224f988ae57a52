"""Resolves the host names of aggregators to IP addresses, because collaborators' Pods resolve no names."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

RESOLVE_EVERY = 30.0  # seconds
UNUSED_AFTER = 3600.0  # seconds without a call of `want` after which a name is dropped


@dataclass(slots=True)
class _Entry:
    address: str
    wanted: float


class Resolver:
    """Resolves each name that was passed to `want` periodically. Calls `changed` with a name when its address is new."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._names: dict[str, _Entry] = {}
        self._new = asyncio.Event()

    @property
    def known(self) -> Mapping[str, str]:
        return {name: k.address for name, k in self._names.items() if k.address}

    def want(self, name: str) -> None:
        if name not in self._names:
            self._names[name] = _Entry("", 0.0)
            self._new.set()
        self._names[name].wanted = time.monotonic()

    async def run(self) -> None:
        while True:
            for name in list(self._names):
                await self._resolve(name)
            self._new.clear()
            try:
                async with asyncio.timeout(RESOLVE_EVERY if self._names else None):
                    await self._new.wait()
            except TimeoutError:
                continue

    async def _resolve(self, name: str) -> None:
        entry = self._names[name]
        if time.monotonic() - entry.wanted > UNUSED_AFTER:
            del self._names[name]
            return
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None, proto=6)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
            log.warning("the aggregator's address %s cannot be resolved: %s", name, error)
            return
        addresses = sorted({str(info[4][0]) for info in found}, key=lambda a: (":" in a, a))
        if addresses and entry.address not in addresses:  # keeps a valid address, since a change makes every collaborator reconnect
            log.info("the aggregator's address %s is %s", name, addresses[0])
            entry.address = addresses[0]
            self._changed(name)
