"""Waits until the parts of a platform are ready, by polling their API servers for a limited time.

After that, the error names the responsible part and its log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import ApiError, ConfigError
from panal.kube.objects import holds
from panal.kube.times import from_time
from panal_local.supervisor.folder import HUB, SUPERVISOR, Folder, PlatformError
from panal_local.supervisor.process import find, known

POLL_INTERVAL = 0.2  # seconds; polling takes CPU time from the parts that start
MAX_FAILURES = 6  # consecutive runs of a part that ended soon
LAST_LINES = 5
NODE_LEASES, CLUSTER_LEASE = "kube-node-lease", "managed-cluster-lease"


class NotYetError(Exception):
    """The condition is not met yet. The message says what is missing."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """Waits for conditions. `until` is the deadline on the monotonic clock."""

    folder: Folder
    until: float

    async def wait(self, part: str, what: str, question: Callable[[], Awaitable[bool]]) -> None:
        """Waits until `question` returns True. Raises PlatformError with `what`, and with the log of the responsible `part`."""
        while True:
            detail = ""
            try:
                if await question():
                    return
            except (ApiError, ConfigError, OSError, NotYetError) as error:
                detail = str(error)
            self._check(part, what, detail)
            await asyncio.sleep(POLL_INTERVAL)

    def _check(self, part: str, what: str, detail: str) -> None:
        process = known(self.folder).get(part)
        if process and process.failures >= MAX_FAILURES:
            raise _error(self.folder, part, f"{part} ends again and again")
        if time.monotonic() < self.until:
            return
        if not find(self.folder, SUPERVISOR):
            raise _error(self.folder, SUPERVISOR, "the supervisor ended")
        raise _error(self.folder, part, f"{what}: not in time{f' ({detail})' if detail else ''}")


def _error(folder: Folder, part: str, message: str) -> PlatformError:
    log = folder.log(part)
    last = log.read_text(errors="replace").splitlines()[-LAST_LINES:] if log.exists() else []
    return PlatformError("\n  ".join([message, *last]), f"Read {log}; `panal down` ends everything.")


async def answers(waiter: Waiter, cluster: str) -> Client:
    """Waits for the cluster's API server and returns a client. Raises PlatformError."""
    admin = waiter.folder.admin(cluster)

    async def there() -> bool:
        return admin.exists() and await _answers(admin)

    await waiter.wait(cluster, f"the API server of {cluster} answers", there)
    return Client.from_kubeconfig(admin)


async def _answers(admin: Path) -> bool:
    async with Client.from_kubeconfig(admin, timeout=5) as client:
        await client.server_version()
    return True


async def node_ready(waiter: Waiter, client: Client, cluster: str) -> None:
    async def ready() -> bool:
        is_ready = holds(await client.get(kinds.NODE, "", cluster), "Ready")
        return is_ready and await _renewed(waiter.folder, cluster, client, NODE_LEASES, cluster)

    await waiter.wait(cluster, f"the node of {cluster} is Ready", ready)


async def joined(waiter: Waiter, hub: Client, cluster: str) -> None:
    async def available() -> bool:
        is_available = holds(await hub.get(kinds.MANAGED_CLUSTER, "", cluster), "ManagedClusterConditionAvailable")
        return is_available and await _renewed(waiter.folder, cluster, hub, cluster, CLUSTER_LEASE)

    await waiter.wait(cluster, f"{cluster} is Available on the {HUB}", available)


async def _renewed(folder: Folder, part: str, client: Client, namespace: str, name: str) -> bool:
    """Whether the part's current process has renewed the lease, so that its status is not that of an earlier process."""
    process = find(folder, part)
    renewed = (await client.get(kinds.LEASE, namespace, name))["spec"].get("renewTime")
    return process is not None and bool(renewed) and from_time(renewed).timestamp() >= process.since
