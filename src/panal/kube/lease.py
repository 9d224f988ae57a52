"""Leader election between controllers, with a coordination.k8s.io Lease.

The leader renews the lease; a candidate acquires it after it has seen no renewal for the lease's duration. Each process measures with its
own monotonic clock, so clocks may differ: the leader measures from **before** it sent its last successful renewal and stops `margin`
earlier, the candidate from **after** it saw that renewal. A shorter outage of the API server has no effect.

    await lease.acquire()        # waits until this process is the leader
    await lease.hold()           # renews; raises LeadershipLost, after which the process must end
    await lease.release()        # on shutdown, so that the next candidate does not wait
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import NoReturn, Protocol

from panal.kube.backoff import Jitter
from panal.kube.clock import Clock, SystemClock
from panal.kube.errors import ApiError, Conflict, LeadershipLost, NotFound
from panal.kube.kinds import LEASE, Kind
from panal.kube.objects import Object, version_of
from panal.kube.times import Now, now_utc, to_micro_time

log = logging.getLogger(__name__)


class LeaseApi(Protocol):
    """The methods of `panal.kube.client.Client` that are used."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object: ...

    async def create(self, obj: Object) -> Object: ...

    async def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Object) -> Object: ...


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """In seconds. `duration`: how long the lease is valid without a renewal. `every`: how often the leader renews and candidates try.
    `margin`: how much earlier the leader stops by itself. `attempt`: the timeout of one attempt."""

    duration: int = 30
    every: float = 4
    margin: float = 4
    attempt: float = 8


class LeaderLease:
    """`identity` is the Pod's name: unique, and unchanged by a restart of the container, which then leads again immediately."""

    def __init__(
        self,
        api: LeaseApi,
        namespace: str,
        name: str,
        identity: str,
        timing: LeaseTiming | None = None,
        *,
        clock: Clock | None = None,
        now: Now = now_utc,
        jitter: Jitter = random.random,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._timing = timing or LeaseTiming()
        self._clock = clock or SystemClock()
        self._now = now
        self._jitter = jitter
        self._leads_until = float("-inf")
        self._seen_version = ""
        self._seen_at = 0.0

    def leading(self) -> bool:
        """Whether no other process can be the leader now. Reads memory only."""
        return self._clock.monotonic() < self._leads_until

    async def acquire(self) -> None:
        """Returns when this process is the leader. Outages of the API server delay it."""
        while not await self._attempt():
            await self._clock.sleep(self._timing.every * (0.75 + self._jitter() / 2))
        log.info("%s is the leader (lease %s/%s)", self._identity, self._namespace, self._name)

    async def hold(self) -> NoReturn:
        """Renews the lease. Raises LeadershipLost if that fails for too long, or if another process holds the lease."""
        tasks = [asyncio.create_task(self._renew()), asyncio.create_task(self._expire())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leads_until = float("-inf")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()
        raise LeadershipLost(f"the lease {self._namespace}/{self._name} could not be renewed in time")

    async def release(self) -> None:
        """Releases the lease if this process holds it. Does not raise if that fails, since the lease expires."""
        self._leads_until = float("-inf")
        try:
            async with asyncio.timeout(self._timing.attempt):
                lease = await self._api.get(LEASE, self._namespace, self._name)
                if _holder(lease) == self._identity:
                    await self._write(lease, {"holderIdentity": None, "leaseDurationSeconds": 1})
        except (ApiError, TimeoutError) as error:
            log.warning("could not release the lease %s/%s: %s", self._namespace, self._name, error)

    # --- leading ------------------------------------------------------------------------------------------------
    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._timing.every)
            await self._attempt()
            if self._leads_until == float("-inf"):
                raise LeadershipLost(f"the lease {self._namespace}/{self._name} is held by another process")
            if not self.leading():
                return

    async def _expire(self) -> None:
        while self.leading():
            await self._clock.sleep(self._leads_until - self._clock.monotonic())

    # --- one attempt --------------------------------------------------------------------------------------------
    async def _attempt(self) -> bool:
        """Whether the lease was acquired or renewed. An error leaves the known state unchanged."""
        sent = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timing.attempt):
                held = await self._acquire_or_renew()
        except Conflict:
            return False
        except (ApiError, TimeoutError) as error:
            log.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no response in time")
            return False
        self._leads_until = sent + self._timing.duration - self._timing.margin if held else float("-inf")
        return held

    async def _acquire_or_renew(self) -> bool:
        """False if another process holds the lease."""
        try:
            lease = await self._api.get(LEASE, self._namespace, self._name)
        except NotFound:
            await self._create()
            return True
        holder = _holder(lease)
        if holder not in ("", self._identity) and not self._expired(lease):
            return False
        await self._write(lease, self._spec(lease))
        return True

    def _expired(self, lease: Object) -> bool:
        """Whether this process has seen no renewal for the lease's duration."""
        if version_of(lease) != self._seen_version:
            self._seen_version = version_of(lease)
            self._seen_at = self._clock.monotonic()
        duration = (lease.get("spec") or {}).get("leaseDurationSeconds") or self._timing.duration
        return self._clock.monotonic() >= self._seen_at + float(duration)

    def _spec(self, lease: Object | None) -> Object:
        now = to_micro_time(self._now())
        spec: Object = {"holderIdentity": self._identity, "leaseDurationSeconds": self._timing.duration, "renewTime": now}
        if lease is None or _holder(lease) != self._identity:
            before = (lease or {}).get("spec") or {}
            spec |= {"acquireTime": now, "leaseTransitions": (before.get("leaseTransitions") or 0) + (1 if lease else 0)}
        return spec

    async def _create(self) -> None:
        metadata = {"namespace": self._namespace, "name": self._name}
        await self._api.create({"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": self._spec(None)})

    async def _write(self, lease: Object, spec: Object) -> None:
        """Raises Conflict if the lease has changed since it was read."""
        patch = {"metadata": {"resourceVersion": version_of(lease)}, "spec": spec}
        await self._api.merge_patch(LEASE, self._namespace, self._name, patch)


def _holder(lease: Object) -> str:
    return (lease.get("spec") or {}).get("holderIdentity") or ""
