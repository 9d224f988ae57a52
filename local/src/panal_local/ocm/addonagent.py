"""The certificates of add-ons on a managed cluster.

For each registration in a ManagedClusterAddOn's status the agent creates a key, requests a certificate from the hub with a
CertificateSigningRequest, and stores both in a Secret on its cluster. The add-on's manager approves and signs requests. The key of a
pending request is only in memory: after a restart, the agent creates another request.
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
from panal_local.ocm.writing import update_conditions

log = logging.getLogger(__name__)

CHECK = 30.0  # seconds between checks of an add-on


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A pending request and its private key in PEM."""

    name: str
    key: bytes
    registration: Registration


class AddonAgent:
    """The cache of `hub` must watch the cluster's ManagedClusterAddOns and CertificateSigningRequests."""

    def __init__(self, hub: tuple[Client, Cache], spoke: Client) -> None:
        self._hub, self._cache = hub
        self._spoke = spoke
        self._pending: dict[tuple[str, str], PendingRequest] = {}
        self._loop = Loop("add-on", self._cache, self._keys, self._reconcile)

    async def run(self) -> None:
        await self._loop.run()

    def _keys(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.MANAGED_CLUSTER_ADDON:
            yield key_of(obj)
        elif kind == kinds.CERTIFICATE_SIGNING_REQUEST and ADDON_LABEL in labels_of(obj):
            name = labels_of(obj)[ADDON_LABEL]
            yield from (key_of(a) for a in self._cache.list(kinds.MANAGED_CLUSTER_ADDON) if a["metadata"]["name"] == name)

    async def _reconcile(self, key: Key) -> float | None:
        addon = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, *key)
        wanted = certificates.registrations(addon) if addon else []
        await self._remove_unwanted(key.name, wanted)
        if addon is None or addon["metadata"].get("deletionTimestamp"):
            return None
        again, updates = CHECK, []
        for registration in wanted:
            condition, renewal = await self._certificate_state(registration)
            updates += [condition] if condition else []
            again = min(again, renewal)
        await update_conditions(self._hub, kinds.MANAGED_CLUSTER_ADDON, addon, updates, now_utc())
        return again

    async def _remove_unwanted(self, addon: str, wanted: Iterable[Registration]) -> None:
        """Deletes the Secrets of former registrations."""
        kept = {Key(r.namespace, r.secret) for r in wanted}
        for secret in (await self._spoke.list(kinds.SECRET, Selector(labels=f"{ADDON_LABEL}={addon}"))).items:
            if key_of(secret) not in kept:
                await self._spoke.delete(kinds.SECRET, *key_of(secret))

    async def _certificate_state(self, registration: Registration) -> tuple[Condition | None, float]:
        """The condition of the certificate, if there is one to report, and the seconds until the next check."""
        now, secret = now_utc(), await self._secret(registration)
        renewal = certificates.renewal(secret, registration)
        if secret is not None and renewal is not None and renewal > now:
            self._pending.pop((registration.addon, registration.signer), None)
            return certificates.rotated(certificates.kept(secret)), (renewal - now).total_seconds()
        return await self._obtain(registration), CHECK

    async def _secret(self, registration: Registration) -> Object | None:
        try:
            return await self._spoke.get(kinds.SECRET, registration.namespace, registration.secret)
        except NotFound:
            return None

    async def _obtain(self, registration: Registration) -> Condition | None:
        """Requests the certificate, or stores it once it is issued. Returns None while the request is pending."""
        pending = self._pending.get((registration.addon, registration.signer))
        if pending is None or pending.registration != registration:
            await self._request(registration)
            return None
        try:
            csr = await self._hub.get(kinds.CERTIFICATE_SIGNING_REQUEST, "", pending.name)
        except NotFound:
            await self._request(registration)
            return None
        if why := certificates.denial(csr):
            self._pending.pop((registration.addon, registration.signer))
            return certificates.not_rotated(why)
        certificate = certificates.issued(csr)
        if certificate is None:
            return None
        await self._spoke.apply(certificates.secret(registration, pending.key, certificate))
        return certificates.rotated(certificate)

    async def _request(self, registration: Registration) -> None:
        key = certificates.new_key()
        made = await self._hub.create(certificates.request(registration, key))
        self._pending[registration.addon, registration.signer] = PendingRequest(made["metadata"]["name"], key, registration)
        log.info("add-on %s: asked %s for a certificate (%s)", registration.addon, registration.signer, made["metadata"]["name"])
