"""Add-ons on a managed cluster: certificates that they are registered for, and whether their leases are renewed.

For each registration in a ManagedClusterAddOn's status the agent makes a key, asks the hub for a certificate with a
CertificateSigningRequest, and keeps both in a Secret on its cluster. Approving and signing is the add-on manager's task. The key of a
request that waits is in memory alone: an agent that starts again asks again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client, Selector
from panal.kube.errors import NotFound
from panal.kube.kinds import Kind
from panal.kube.loop import Loop, together
from panal.kube.objects import Key, Object, key_of
from panal.kube.times import from_time, now_utc
from panal.local.ocm import certificates
from panal.local.ocm.certificates import Registration
from panal.local.ocm.clusters import NAME_LABEL
from panal.local.ocm.conditions import Condition, said
from panal.local.ocm.writing import say

CHECK = 30.0  # seconds between looks at an add-on's lease
LEASE_GRACE = timedelta(seconds=5 * 60)
MAX_PENDING = 10
ASK_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits, with the key that belongs to it."""

    name: str
    key: bytes
    registration: Registration


class AddonAgent:
    def __init__(self, cluster: str, hub: tuple[Client, Cache], spoke: Client) -> None:
        self._cluster = cluster
        self._hub, self._cache = hub
        self._spoke = spoke
        self._requests = Cache(self._hub, [Watched(kinds.CERTIFICATE_SIGNING_REQUEST, label_selector=f"{NAME_LABEL}={cluster},{certificates.ADDON_LABEL}")])
        self._asked: dict[tuple[str, str], Asked] = {}

    def loops(self) -> list[Loop]:
        raise NotImplementedError
