"""The two certificate authorities on the hub: kept in Secrets, turned over in time, and asked for signatures.

Leader only. `run` loads or makes them, then looks at them whenever `panal.addon.authority` says that something is due, somebody asks for
a rotation (an annotation on the ConfigMap that shows what anyone may know), or a minute has passed, for somebody may have
restored the Secrets from a backup. Their keys are in the Secrets and in this process's memory, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from panal.addon.authority import Times
from panal.kube.cache import Cache
from panal.kube.client import Client


@dataclass(frozen=True, slots=True)
class Trust:
    """PEM: who may sign servers' certificates, who collaborators' ones, and the lists of the latter's revoked certificates."""

    server_bundle: str
    collaborator_bundle: str
    crl: str


class Authorities:
    """Nothing may be asked of it before `ready` is set."""

    def __init__(self, client: Client, cache: Cache, namespace: str, times: Times) -> None:
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Called after each change of what `trust` gives, or of who signs."""

    def trust(self) -> Trust:
        raise NotImplementedError

    def server_certificate(self, name: str, csr_pem: str, current_pem: str, now: datetime) -> str:
        """PEM; empty for a request that is empty or bad. `current_pem` as long as it is for the same key and name, has a third of its
        life left and is of the authority that signs now; otherwise a new one, which is remembered until it is handed back."""
        raise NotImplementedError
