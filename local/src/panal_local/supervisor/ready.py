"""What is up, and what is not yet: asked of the API servers, a few times a second, for a limited time.

What does not come about in time ends with an error that names the part that is to bring it about, and where its log is.
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

ASK_AGAIN = 0.2  # seconds; asking takes computing time from what is to come up
HOPELESS = 6  # so often in a row a part ended soon after its start
LAST_LINES = 5
NODE_LEASES, CLUSTER_LEASE = "kube-node-lease", "managed-cluster-lease"


class NotYetError(Exception):
    """A question's answer that says what is still missing."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`until` is on the monotonic clock."""

    folder: Folder
    until: float

    async def wait(self, part: str, what: str, question: Callable[[], Awaitable[bool]]) -> None:
        while True:
            said = ""
            try:
                if await question():
                    return
            except (ApiError, ConfigError, OSError, NotYetError) as error:
                said = str(error)
            self._check(part, what, said)
            await asyncio.sleep(ASK_AGAIN)

    def _check(self, part: str, what: str, said: str) -> None:
        process = known(self.folder).get(part)
        if process and process.failures >= HOPELESS:
            raise _error(self.folder, part, f"{part} ends again and again")
        if time.monotonic() < self.until:
            return
        if not find(self.folder, SUPERVISOR):
            raise _error(self.folder, SUPERVISOR, "the supervisor ended")
        raise _error(self.folder, part, f"{what}: not in time{f' ({said})' if said else ''}")


def _error(folder: Folder, part: str, message: str) -> PlatformError:
    log = folder.log(part)
    last = log.read_text(errors="replace").splitlines()[-LAST_LINES:] if log.exists() else []
    return PlatformError("\n  ".join([message, *last]), f"Read {log}; `panal down` ends everything.")


async def answers(patience: Patience, cluster: str) -> Client:
    """A client of the cluster's API server, as soon as that answers."""
    admin = patience.folder.admin(cluster)

    async def there() -> bool:
        return admin.exists() and await _answers(admin)

    await patience.wait(cluster, f"the API server of {cluster} answers", there)
    return Client.from_kubeconfig(admin)


async def _answers(admin: Path) -> bool:
    async with Client.from_kubeconfig(admin, timeout=5) as client:
        await client.server_version()
    return True


async def node_ready(patience: Patience, client: Client, cluster: str) -> None:
    async def ready() -> bool:
        is_ready = holds(await client.get(kinds.NODE, "", cluster), "Ready")
        return is_ready and await _renewed(patience.folder, cluster, client, NODE_LEASES, cluster)

    await patience.wait(cluster, f"the node of {cluster} is Ready", ready)


async def joined(patience: Patience, hub: Client, cluster: str) -> None:
    async def available() -> bool:
        is_available = holds(await hub.get(kinds.MANAGED_CLUSTER, "", cluster), "ManagedClusterConditionAvailable")
        return is_available and await _renewed(patience.folder, cluster, hub, cluster, CLUSTER_LEASE)

    await patience.wait(cluster, f"{cluster} is Available on the {HUB}", available)


async def _renewed(folder: Folder, part: str, client: Client, namespace: str, name: str) -> bool:
    """Whether the part's process of now has renewed its lease: what is said of it is not of a former life."""
    process = find(folder, part)
    renewed = (await client.get(kinds.LEASE, namespace, name))["spec"].get("renewTime")
    return process is not None and bool(renewed) and from_time(renewed).timestamp() >= process.since
