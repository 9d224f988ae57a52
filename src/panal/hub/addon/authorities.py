"""The two certificate authorities on the hub: stored in Secrets, rotated, and used to sign.

Only the leader uses this module. `run` loads or creates the authorities. Then it reconciles them when `panal.addon.authority` has a change
due, when a rotation is requested (by an annotation on the public ConfigMap), and every minute, since the Secrets may have been restored
from a backup. The keys are only in the Secrets and in the memory of this process.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from panal.addon import authority, leaf
from panal.addon.authority import COLLABORATORS, SERVERS, Authority, AuthorityError, Signer, Times
from panal.addon.issued import Issued
from panal.addon.leaf import BadRequest
from panal.api import names
from panal.hub.addon.authority_store import AuthorityStore, Revocation
from panal.hub.difference import needs_apply, stamped
from panal.kube import kinds
from panal.kube.backoff import Backoff
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import KubeError
from panal.kube.kinds import Kind
from panal.kube.objects import Object

log = logging.getLogger(__name__)

SECRETS = {SERVERS: names.SERVER_AUTHORITY, COLLABORATORS: names.COLLABORATOR_AUTHORITY}
CHECK_EVERY = timedelta(minutes=1)
MIN_DELAY = 0.5  # seconds between two reconciles
RETRIES = Backoff(first=0.5, cap=30)


@dataclass(frozen=True, slots=True)
class Trust:
    """PEM: the trust bundles of the two authorities, and the revocation lists of the collaborator authority."""

    server_bundle: str
    collaborator_bundle: str
    crl: str


class Authorities:
    """Do not use it before `ready` is set. `problem`: the error of the last reconcile, if it failed."""

    def __init__(self, client: Client, cache: Cache, namespace: str, times: Times, now: Callable[[], datetime]) -> None:
        self.ready = asyncio.Event()
        self.problem = ""
        self._client = client
        self._cache = cache
        self._namespace = namespace
        self._times = times
        self._now = now
        self._since = now()  # when this process began to distribute bundles
        self._stores = {name: AuthorityStore(client, namespace, secret) for name, secret in SECRETS.items()}
        self._trust = Trust("", "", "")
        self._signers: tuple[Signer | None, ...] = ()
        self._signed: dict[str, tuple[str, str]] = {}  # by server name: the last request and its certificate
        self._callbacks: list[Callable[[], None]] = []
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Calls `callback` after each change of `trust` or of a current signer."""
        self._callbacks.append(callback)

    def trust(self) -> Trust:
        return self._trust

    @property
    def collaborators(self) -> Signer:
        """The current signer of the collaborator authority."""
        return self._signer(COLLABORATORS)

    def server_certificate(self, name: str, csr_pem: str, current_pem: str, now: datetime) -> str:
        """The certificate of an aggregator, PEM; empty if the request is empty or invalid.

        Returns `current_pem` while it has this key, this name, a third of its lifetime and the current signer. Otherwise signs a new
        certificate, and returns that one until the caller passes it as `current_pem`.
        """
        if not csr_pem:
            return ""
        signer, (request, signed) = self._signer(SERVERS), self._signed.get(name, ("", ""))
        try:
            for known in (current_pem, signed if request == csr_pem else ""):
                if known and leaf.is_current(signer, known, csr_pem, name, now):
                    return known
            certificate = leaf.sign_server(signer, csr_pem, name, now, self._times.leaf)
        except BadRequest as error:
            log.warning("no certificate for the aggregator %s: %s", name, error)
            return ""
        self._signed[name] = csr_pem, certificate
        log.info("signed a certificate for the aggregator %s", name)
        return certificate

    async def revoke(self, cluster: str, certificates: list[Issued]) -> None:
        """Adds certificates of a cluster to the revocation lists. Keeps existing entries. Raises KubeError."""
        async with self._lock:
            store, now = self._stores[COLLABORATORS], self._now()
            known = (await store.read()).revoked
            new = {c.serial: Revocation(now, c.ends) for c in certificates if c.ends > now and c.serial not in known}
            if new:
                await store.write(store.kept.state, {**known, **new})
                log.info("revoked certificates of cluster %s: %s", cluster, ", ".join(f"{serial:x}" for serial in new))
                self._notify()

    async def run(self) -> None:
        """Runs until cancelled. A failed reconcile is retried; meanwhile the loaded authorities stay in use."""
        self._cache.subscribe(self._on_change)
        await self._cache.wait_synced(kinds.CONFIG_MAP)
        self._since = self._now()
        failures = 0
        while True:
            try:
                async with self._lock:
                    again = await self._reconcile()
                failures, self.problem = 0, ""
            except (KubeError, AuthorityError) as error:
                failures += 1
                again, self.problem = RETRIES.delay(failures), f"certificate authorities: {error}"
                log.warning("%s (retry in %.1f s)", self.problem, again)
            await self._sleep(again)

    # --- helpers ------------------------------------------------------------------------------------------------
    def _signer(self, name: str) -> Signer:
        found = self._stores[name].kept.state.current
        assert found, "`ready` is set once there is a current signer"
        return found

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if kind == kinds.CONFIG_MAP and changed and changed["metadata"]["name"] == names.AUTHORITIES and new is not old:
            self._wake.set()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _reconcile(self) -> float:
        """Reconciles both authorities. Returns the seconds until the next reconcile."""
        requests = self._requests()
        for name, store in self._stores.items():
            kept, now = await store.read(), self._now()
            state = authority.decide(kept.state, now, name, self._times, requests.get(name), self._since)
            revoked = {serial: one for serial, one in kept.revoked.items() if one.until > now}
            if state != kept.state or revoked != kept.revoked or not kept.version:
                await store.write(state, revoked)
                _log_change(name, kept.state, state)
        await self._publish()
        self._notify()
        self.ready.set()
        await self._complete(requests)
        return self._next(requests)

    def _next(self, requests: Mapping[str, datetime]) -> float:
        now = self._now()
        due = [authority.next_change(store.kept.state, self._times, self._since) for store in self._stores.values()]
        seconds = [(moment - now).total_seconds() for moment in (*due, *requests.values()) if moment and moment > now]
        return min([CHECK_EVERY.total_seconds(), *(max(MIN_DELAY, each) for each in seconds)])

    async def _publish(self) -> None:
        states = {name: store.kept.state for name, store in self._stores.items()}
        data = {name: json.dumps(authority.public(state)) for name, state in states.items()}
        data["ca.crt"] = authority.bundle(states[SERVERS])
        metadata = {"name": names.AUTHORITIES, "namespace": self._namespace, "labels": dict(names.MANAGED_BY)}
        wanted = stamped({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        if needs_apply(wanted, self._published()):
            await self._client.apply(wanted)

    def _notify(self) -> None:
        """Updates `trust` and calls the subscribers, if anything has changed."""
        servers, kept = self._stores[SERVERS].kept.state, self._stores[COLLABORATORS].kept
        crl = authority.crl(kept.state, {serial: one.since for serial, one in kept.revoked.items()})
        trust, signers = Trust(authority.bundle(servers), authority.bundle(kept.state), crl), (servers.current, kept.state.current)
        if (trust, signers) == (self._trust, self._signers):
            return
        self._trust, self._signers = trust, signers
        for callback in self._callbacks:
            callback()

    # --- requested rotation -------------------------------------------------------------------------------------
    def _published(self) -> Object | None:
        return self._cache.get(kinds.CONFIG_MAP, self._namespace, names.AUTHORITIES)

    def _requests(self) -> dict[str, datetime]:
        """The authorities whose rotation is requested, and when it was requested."""
        text = ((self._published() or {"metadata": {}})["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROTATE, "")
        which, _, when = text.partition("@")
        wanted = [name for name in map(str.strip, which.split(",")) if name in SECRETS]
        try:
            return dict.fromkeys(wanted, datetime.fromisoformat(when).astimezone(UTC)) if wanted else {}
        except ValueError:
            log.warning("annotation %s of ConfigMap %s: %r has no valid time", names.ANNOTATION_ROTATE, names.AUTHORITIES, text[:100])
            return {}

    async def _complete(self, requests: Mapping[str, datetime]) -> None:
        """Removes the annotation once each requested authority has a signer that was created after the request."""
        newest = {name: self._stores[name].kept.state.newest for name in requests}
        if requests and all(moment is not None and moment >= requests[name] for name, moment in newest.items()):
            log.info("began the requested rotation of %s", " and ".join(requests))
            patch = {"metadata": {"annotations": {names.ANNOTATION_ROTATE: None}}}
            await self._client.merge_patch(kinds.CONFIG_MAP, self._namespace, names.AUTHORITIES, patch)


def _log_change(name: str, before: Authority, after: Authority) -> None:
    if after.next and after.next != before.next:
        log.info("authority %s: the trust bundle has a new signer: %s", name, after.next.fingerprint)
    if after.current and after.current != before.current:
        log.info("authority %s: the current signer is %s", name, after.current.fingerprint)
