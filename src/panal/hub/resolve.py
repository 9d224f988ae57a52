"""Names of aggregators' addresses made into IP addresses, because a collaborator's Pod resolves none; kept fresh while asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

FRESH = 30.0  # seconds between two looks at a name
FORGOTTEN = 3600.0  # a name that nobody has asked for in so long


@dataclass(slots=True)
class Known:
    address: str
    wanted: float


class Resolver:
    """`known` is what names resolve to. A name that is wanted is looked up from then on; `changed` is told when an address is new."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._names: dict[str, Known] = {}
        self._new = asyncio.Event()

    @property
    def known(self) -> Mapping[str, str]:
        return {name: k.address for name, k in self._names.items() if k.address}

    def want(self, name: str) -> None:
        if name not in self._names:
            self._names[name] = Known("", 0.0)
            self._new.set()
        self._names[name].wanted = time.monotonic()

    async def run(self) -> None:
        while True:
            for name in list(self._names):
                await self._look(name)
            self._new.clear()
            try:
                async with asyncio.timeout(FRESH if self._names else None):
                    await self._new.wait()
            except TimeoutError:
                continue

    async def _look(self, name: str) -> None:
        entry = self._names[name]
        if time.monotonic() - entry.wanted > FORGOTTEN:
            del self._names[name]
            return
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None, proto=6)
        except OSError as error:
            log.warning("the aggregator's address %s cannot be resolved: %s", name, error)
            return
        addresses = sorted({str(info[4][0]) for info in found}, key=lambda a: (":" in a, a))
        if addresses and entry.address not in addresses:  # one that is still true stays: a new one has every collaborator connect again
            log.info("the aggregator's address %s is %s", name, addresses[0])
            entry.address = addresses[0]
            self._changed(name)
