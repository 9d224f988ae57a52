"""One leader among several controllers, by a coordination.k8s.io Lease.

The leader renews; a candidate takes over when it saw no renewal for the lease's duration. Each side measures with its own clock that
only goes forward, so clocks that disagree do no harm: the leader counts from **before** it sent its last successful renewal and
stops `margin` earlier, the candidate from **after** it saw it. An API server that is away for less than that changes nothing.

    await lease.acquire()        # waits until we lead
    await lease.hold()           # renews; raises LeadershipLost: end the process then
    await lease.release()        # on shutdown: the next candidate need not wait
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
    """What is needed of `panal.kube.client.Client`."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object: ...

    async def create(self, obj: Object) -> Object: ...

    async def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Object) -> Object: ...


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """Seconds: how long a leader that is silent stays leader, how often it renews and others look, how much earlier it gives up
    by itself, and how long one attempt may take."""

    duration: int = 30
    every: float = 4
    margin: float = 4
    attempt: float = 8


class LeaderLease:
    """`identity` is the Pod's name: unique, and the same after a restart of its container, which then goes on at once."""

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
        """Whether nobody else can lead now. Cheap: ask before every write."""
        return self._clock.monotonic() < self._leads_until

    async def acquire(self) -> None:
        """Returns when we lead. Outages of the API server only make it later."""
        while not await self._attempt():
            await self._clock.sleep(self._timing.every * (0.75 + self._jitter() / 2))
        log.info("%s leads (lease %s/%s)", self._identity, self._namespace, self._name)

    async def hold(self) -> NoReturn:
        """Renews until that fails for too long or another leads."""
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
        """Let others lead at once, if the lease is ours; failing to is not an error, since it expires anyway."""
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
            if not self.leading():
                raise LeadershipLost(f"the lease {self._namespace}/{self._name} is held by another")

    async def _expire(self) -> None:
        while self.leading():
            await self._clock.sleep(self._leads_until - self._clock.monotonic())

    # --- one attempt --------------------------------------------------------------------------------------------
    async def _attempt(self) -> bool:
        """Whether the lease was taken or renewed. On an error nothing is known, and what was known stays."""
        sent = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timing.attempt):
                taken = await self._take()
        except Conflict:
            return False
        except (ApiError, TimeoutError) as error:
            log.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no answer in time")
            return False
        self._leads_until = sent + self._timing.duration - self._timing.margin if taken else float("-inf")
        return taken

    async def _take(self) -> bool:
        """Create it, renew it, or take it over if it is free; false if another holds it."""
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
        """Whether its holder was silent for the duration that it promised, as far as we saw."""
        if version_of(lease) != self._seen_version:
            self._seen_version = version_of(lease)
            self._seen_at = self._clock.monotonic()
        promised = (lease.get("spec") or {}).get("leaseDurationSeconds") or self._timing.duration
        return self._clock.monotonic() >= self._seen_at + float(promised)

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
        """Conflict if somebody else wrote since we read."""
        patch = {"metadata": {"resourceVersion": version_of(lease)}, "spec": spec}
        await self._api.merge_patch(LEASE, self._namespace, self._name, patch)


def _holder(lease: Object) -> str:
    return (lease.get("spec") or {}).get("holderIdentity") or ""
