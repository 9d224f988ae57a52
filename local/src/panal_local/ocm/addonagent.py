"""Add-ons on a managed cluster: the certificates that they are registered for.

For each registration in a ManagedClusterAddOn's status the agent makes a key, asks the hub for a certificate with a
CertificateSigningRequest, and keeps both in a Secret on its cluster. Approving and signing is the add-on manager's task. The key of a
request that waits is in memory alone: an agent that starts again asks again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client, Selector
from panal.kube.errors import NotFound
from panal.kube.kinds import Kind
from panal.kube.loop import Loop
from panal.kube.objects import Key, Object, key_of, labels_of
from panal.kube.times import now_utc
from panal_local.ocm import certificates
from panal_local.ocm.certificates import ADDON_LABEL, Registration
from panal_local.ocm.conditions import Condition
from panal_local.ocm.writing import say

log = logging.getLogger(__name__)

CHECK = 30.0  # seconds between looks at an add-on


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits, with the key that belongs to it."""

    name: str
    key: bytes
    registration: Registration


class AddonAgent:
    """`cache` of the hub holds the cluster's ManagedClusterAddOns and CertificateSigningRequests."""

    def __init__(self, hub: tuple[Client, Cache], spoke: Client) -> None:
        self._hub, self._cache = hub
        self._spoke = spoke
        self._asked: dict[tuple[str, str], Asked] = {}
        self._loop = Loop("add-on", self._cache, self._concerns, self._reconcile)

    async def run(self) -> None:
        await self._loop.run()

    def _concerns(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.MANAGED_CLUSTER_ADDON:
            yield key_of(obj)
        elif kind == kinds.CERTIFICATE_SIGNING_REQUEST and ADDON_LABEL in labels_of(obj):
            name = labels_of(obj)[ADDON_LABEL]
            yield from (key_of(a) for a in self._cache.list(kinds.MANAGED_CLUSTER_ADDON) if a["metadata"]["name"] == name)

    async def _reconcile(self, key: Key) -> float | None:
        addon = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, *key)
        wanted = certificates.registrations(addon) if addon else []
        await self._remove_others(key.name, wanted)
        if addon is None or addon["metadata"].get("deletionTimestamp"):
            return None
        again, news = CHECK, []
        for registration in wanted:
            condition, renewal = await self._certified(registration)
            news += [condition] if condition else []
            again = min(again, renewal)
        await say(self._hub, kinds.MANAGED_CLUSTER_ADDON, addon, news, now_utc())
        return again

    async def _remove_others(self, addon: str, wanted: Iterable[Registration]) -> None:
        """Secrets of registrations that are no more."""
        kept = {Key(r.namespace, r.secret) for r in wanted}
        for secret in (await self._spoke.list(kinds.SECRET, Selector(labels=f"{ADDON_LABEL}={addon}"))).items:
            if key_of(secret) not in kept:
                await self._spoke.delete(kinds.SECRET, *key_of(secret))

    async def _certified(self, registration: Registration) -> tuple[Condition | None, float]:
        """What is to be said of the certificate, and when to look again, in seconds."""
        now, secret = now_utc(), await self._secret(registration)
        renewal = certificates.renewal(secret, registration)
        if secret is not None and renewal is not None and renewal > now:
            self._asked.pop((registration.addon, registration.signer), None)
            return certificates.rotated(certificates.kept(secret)), (renewal - now).total_seconds()
        return await self._obtain(registration), CHECK

    async def _secret(self, registration: Registration) -> Object | None:
        try:
            return await self._spoke.get(kinds.SECRET, registration.namespace, registration.secret)
        except NotFound:
            return None

    async def _obtain(self, registration: Registration) -> Condition | None:
        """One step towards the certificate: ask for it, or take it; None while it is waited for."""
        asked = self._asked.get((registration.addon, registration.signer))
        if asked is None or asked.registration != registration:
            await self._ask(registration)
            return None
        try:
            csr = await self._hub.get(kinds.CERTIFICATE_SIGNING_REQUEST, "", asked.name)
        except NotFound:
            await self._ask(registration)
            return None
        if why := certificates.refused(csr):
            self._asked.pop((registration.addon, registration.signer))
            return certificates.not_rotated(why)
        certificate = certificates.issued(csr)
        if certificate is None:
            return None
        await self._spoke.apply(certificates.secret(registration, asked.key, certificate))
        return certificates.rotated(certificate)

    async def _ask(self, registration: Registration) -> None:
        key = certificates.new_key()
        made = await self._hub.create(certificates.request(registration, key))
        self._asked[registration.addon, registration.signer] = Asked(made["metadata"]["name"], key, registration)
        log.info("add-on %s: asked %s for a certificate (%s)", registration.addon, registration.signer, made["metadata"]["name"])
