"""The two certificate authorities on the hub: kept in Secrets, turned over in time, and asked for signatures.

Leader only. `run` loads or makes them, then looks at them whenever `panal.addon.authority` says that something is due, somebody asks for
a rotation (an annotation on the ConfigMap that shows what anyone may know), or a minute has passed, for the Secrets may have been
restored from a backup. Their keys are in the Secrets and in this process's memory, and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from panal.addon import authority, leaf
from panal.addon.authority import Authority, AuthorityError, Signer, Times
from panal.addon.issued import Issued
from panal.addon.leaf import BadRequest
from panal.api import names
from panal.hub.difference import needs_apply, stamped
from panal.kube import kinds
from panal.kube.backoff import Backoff
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Object

log = logging.getLogger(__name__)

SERVERS, COLLABORATORS = "servers", "collaborators"
SECRETS = {SERVERS: names.SERVER_AUTHORITY, COLLABORATORS: names.COLLABORATOR_AUTHORITY}
BACKUP = {"cluster.open-cluster-management.io/backup": ""}  # OCM's backup takes what has this label
REVOKED = "revoked.json"  # in the Secret of the collaborators' authority
LOOK = timedelta(minutes=1)
RETRIES = Backoff(first=0.5, cap=30)


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Trust:
    """PEM: who may sign servers' certificates, who collaborators' ones, and the lists of the latter's revoked certificates."""

    server_bundle: str
    collaborator_bundle: str
    crl: str


@dataclass(frozen=True, slots=True)
class Revocation:
    since: datetime
    until: datetime


@dataclass(slots=True)
class Kept:
    """A Secret as it was read or written last."""

    version: str = ""
    state: Authority = field(default_factory=Authority)
    revoked: Mapping[int, Revocation] = field(default_factory=dict)


class Authorities:
    """Nothing may be asked of it before `ready` is set."""

    def __init__(self, client: Client, cache: Cache, namespace: str, times: Times, now: Callable[[], datetime] = utc_now) -> None:
        self.ready = asyncio.Event()
        self._client = client
        self._cache = cache
        self._namespace = namespace
        self._times = times
        self._now = now
        self._since = now()
        self._kept = {name: Kept() for name in SECRETS}
        self._trust = Trust("", "", "")
        self._signed: dict[str, tuple[str, str]] = {}  # by server: the request, and what was signed for it last
        self._callbacks: list[Callable[[], None]] = []
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Called after each change of what `trust` gives, or of who signs."""
        self._callbacks.append(callback)

    def trust(self) -> Trust:
        return self._trust

    @property
    def collaborators(self) -> Signer:
        """Who signs collaborators' certificates now."""
        return self._signer(COLLABORATORS)

    def server_certificate(self, name: str, csr_pem: str, current_pem: str, now: datetime) -> str:
        """PEM; empty for a request that is empty or bad. `current_pem` as long as it is for the same key and name, has a third of its
        life left and is of the authority that signs now; otherwise a new one, which is remembered until it is handed back."""
        if not csr_pem:
            return ""
        signer, (request, signed) = self._signer(SERVERS), self._signed.get(name, ("", ""))
        try:
            for known in (current_pem, signed if request == csr_pem else ""):
                if known and leaf.still_good(signer, known, csr_pem, name, now):
                    return known
            made = leaf.sign_server(signer, csr_pem, name, now, self._times.leaf)
        except BadRequest as error:
            log.warning("no certificate for the aggregator %s: %s", name, error)
            return ""
        self._signed[name] = csr_pem, made
        log.info("signed a certificate for the aggregator %s", name)
        return made

    async def revoke(self, certificates: Mapping[str, list[Issued]]) -> None:
        """Put these certificates of clusters into the lists; those that are there stay as they are. Raises KubeError."""
        async with self._lock:
            await self._read(COLLABORATORS)
            kept, now = self._kept[COLLABORATORS], self._now()
            new = {c.serial: Revocation(now, c.ends) for each in certificates.values() for c in each if c.ends > now}
            new = {serial: one for serial, one in new.items() if serial not in kept.revoked}
            if new:
                await self._write(COLLABORATORS, kept.state, {**kept.revoked, **new})
                for cluster, each in certificates.items():
                    log.info("revoked the certificates of cluster %s: %s", cluster, ", ".join(f"{c.serial:x}" for c in each))
                self._announce()

    async def run(self) -> None:
        """Until cancelled. A hub that refuses is asked again; meanwhile what was loaded stays in force."""
        self._cache.subscribe(self._on_change)
        await self._cache.wait_synced(kinds.CONFIG_MAP)
        failures = 0
        while True:
            try:
                async with self._lock:
                    again = await self._look()
                failures = 0
            except (KubeError, AuthorityError) as error:
                failures += 1
                again = RETRIES.delay(failures)
                log.warning("certificate authorities: %s (again in %.1f s)", error, again)
            await self._sleep(again)

    # --- helpers ------------------------------------------------------------------------------------------------
    def _signer(self, name: str) -> Signer:
        found = self._kept[name].state.current
        assert found, "`ready` is set once there is one"
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

    async def _look(self) -> float:
        """One look at both; seconds to the next."""
        requests = self._requests()
        for name in SECRETS:
            await self._read(name)
            kept, now = self._kept[name], self._now()
            state = authority.decide(kept.state, now, name, self._times, requests.get(name), self._since)
            revoked = {serial: one for serial, one in kept.revoked.items() if one.until > now}
            if state != kept.state or revoked != kept.revoked:
                await self._write(name, state, revoked)
        await self._publish()
        self._announce()
        self.ready.set()
        await self._settle(requests)
        return self._next(requests)

    def _next(self, requests: Mapping[str, datetime]) -> float:
        now = self._now()
        due = [authority.look_again(k.state, self._times, self._since, requests.get(name)) for name, k in self._kept.items()]
        seconds = [(moment - now).total_seconds() for moment in due if moment]
        return min(max(0.5, min(seconds, default=LOOK.total_seconds())), LOOK.total_seconds())

    # --- rotation on demand -------------------------------------------------------------------------------------
    def _shown(self) -> Object | None:
        return self._cache.get(kinds.CONFIG_MAP, self._namespace, names.AUTHORITIES)

    def _requests(self) -> dict[str, datetime]:
        """Which authorities somebody wants anew, and since when."""
        text = (((self._shown() or {}).get("metadata") or {}).get("annotations") or {}).get(names.ANNOTATION_ROTATE, "")
        which, _, when = text.partition("@")
        try:
            moment = datetime.fromisoformat(when).astimezone(UTC) if text else None
        except ValueError:
            moment = None
        found = {name.strip(): moment for name in which.split(",") if name.strip() in SECRETS and moment}
        if text and not found:
            log.warning("annotation %s on ConfigMap %s: %r asks for nothing known", names.ANNOTATION_ROTATE, names.AUTHORITIES, text[:100])
        return {name: m for name, m in found.items() if m}

    async def _settle(self, requests: Mapping[str, datetime]) -> None:
        """The wish is taken away once an authority that is younger than it exists."""
        made = {name: self._kept[name].state.newest for name in requests}
        if not requests or not all(m and m >= requests[name] for name, m in made.items()):
            return
        log.info("rotation of the authorities of %s has begun, as was asked for", ", ".join(requests))
        patch = {"metadata": {"annotations": {names.ANNOTATION_ROTATE: None}}}
        await self._client.merge_patch(kinds.CONFIG_MAP, self._namespace, names.AUTHORITIES, patch)

    # --- what is kept -------------------------------------------------------------------------------------------
    async def _read(self, name: str) -> None:
        try:
            found = await self._client.get(kinds.SECRET, self._namespace, SECRETS[name])
        except NotFound:
            self._kept[name] = replace(self._kept[name], version="")  # somebody deleted it: what is in memory is written again
            return
        if found["metadata"]["resourceVersion"] != self._kept[name].version:
            self._keep(name, found)

    def _keep(self, name: str, secret: Object) -> None:
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        try:
            revoked = {int(k, 16): Revocation(*map(datetime.fromisoformat, v)) for k, v in json.loads(data.get(REVOKED, "{}")).items()}
            state = authority.from_data(data)
        except (ValueError, TypeError, AttributeError) as error:
            raise AuthorityError(f"Secret {self._namespace}/{SECRETS[name]} cannot be read: {error}") from error
        self._kept[name] = Kept(secret["metadata"]["resourceVersion"], state, revoked)

    async def _write(self, name: str, state: Authority, revoked: Mapping[int, Revocation]) -> None:
        """Only over what was read: two controllers never write over each other. Raises Conflict where another was faster."""
        version = self._kept[name].version
        secret = self._secret(name, state, revoked)
        try:
            if version:
                secret["metadata"]["resourceVersion"] = version
                written = await self._client.replace(secret)
            else:
                written = await self._client.create(secret)
        except (AlreadyExists, Conflict):
            self._kept[name] = replace(self._kept[name], version="")
            await self._read(name)
            raise
        self._tell(name, self._kept[name].state, state)
        self._kept[name] = Kept(written["metadata"]["resourceVersion"], state, revoked)

    def _secret(self, name: str, state: Authority, revoked: Mapping[int, Revocation]) -> Object:
        data = authority.to_data(state)
        if name == COLLABORATORS:
            data[REVOKED] = json.dumps({f"{s:x}": [r.since.isoformat(), r.until.isoformat()] for s, r in sorted(revoked.items())})
        metadata = {"name": SECRETS[name], "namespace": self._namespace, "labels": names.MANAGED_BY | BACKUP}
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": coded}

    def _tell(self, name: str, before: Authority, after: Authority) -> None:
        if after.next and after.next != before.next:
            log.info("a new authority of %s is in the bundles: %s", name, after.next.fingerprint)
        if after.current and after.current != before.current:
            log.info("the authority of %s that signs now: %s", name, after.current.fingerprint)

    async def _publish(self) -> None:
        states = {name: kept.state for name, kept in self._kept.items()}
        data = {name: json.dumps(authority.public(state)) for name, state in states.items()}
        metadata = {"name": names.AUTHORITIES, "namespace": self._namespace, "labels": dict(names.MANAGED_BY)}
        data["ca.crt"] = authority.bundle(states[SERVERS])
        wanted = stamped({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        if needs_apply(wanted, self._shown()):
            await self._client.apply(wanted)

    def _announce(self) -> None:
        """Tell the others, if anything is new for them."""
        servers, kept = self._kept[SERVERS].state, self._kept[COLLABORATORS]
        crl = authority.crl(kept.state, {serial: one.since for serial, one in kept.revoked.items()})
        trust = Trust(authority.bundle(servers), authority.bundle(kept.state), crl)
        signers = servers.current, kept.state.current
        if (trust, signers) == (self._trust, self._signers):
            return
        self._trust, self._signers = trust, signers
        for callback in self._callbacks:
            callback()

    _signers: tuple[Signer | None, Signer | None] = (None, None)
