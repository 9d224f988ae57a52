"""The Secret with an authority and the serial numbers of its revoked certificates.

A write requires the version that was read: of two controllers that write at once, one gets a Conflict and reads again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from panal.addon import authority
from panal.addon.authority import Authority, AuthorityError
from panal.api import names
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, Conflict, NotFound
from panal.kube.objects import Object, version_of

BACKUP = {"cluster.open-cluster-management.io/backup": ""}  # OCM's backup includes objects with this label
REVOKED = "revoked.json"


class Revocation(NamedTuple):
    """`since`: when the certificate was revoked. `until`: when it expires, after which it need not be listed."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """The content last read or written. `version`: the resourceVersion; empty if the Secret does not exist."""

    version: str = ""
    state: Authority = field(default_factory=Authority)
    revoked: Mapping[int, Revocation] = field(default_factory=dict)


class AuthorityStore:
    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self.kept = Kept()
        self._client = client
        self._namespace = namespace
        self._name = name

    async def read(self) -> Kept:
        """The content of the Secret. If the Secret was deleted, the last known content, so that the caller writes it again. Raises
        AuthorityError for invalid data."""
        try:
            found = await self._client.get(kinds.SECRET, self._namespace, self._name)
        except NotFound:
            self.kept = replace(self.kept, version="")
            return self.kept
        if version_of(found) != self.kept.version:
            self.kept = self._parsed(found)
        return self.kept

    async def write(self, state: Authority, revoked: Mapping[int, Revocation]) -> Kept:
        """Raises Conflict if the Secret has changed since it was read; `kept` then has the new content."""
        secret = self._secret(state, revoked)
        try:
            written = await (self._client.replace(secret) if self.kept.version else self._client.create(secret))
        except (AlreadyExists, Conflict):
            await self.read()
            raise
        self.kept = Kept(version_of(written), state, dict(revoked))
        return self.kept

    def _parsed(self, secret: Object) -> Kept:
        try:
            data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
            revoked = {int(k, 16): Revocation(*map(datetime.fromisoformat, v)) for k, v in json.loads(data.get(REVOKED, "{}")).items()}
            return Kept(version_of(secret), authority.from_data(data), revoked)
        except (ValueError, TypeError, AttributeError) as error:
            raise AuthorityError(f"Secret {self._namespace}/{self._name} has invalid data: {error}") from error

    def _secret(self, state: Authority, revoked: Mapping[int, Revocation]) -> Object:
        data = authority.to_data(state)
        data[REVOKED] = json.dumps({f"{s:x}": [r.since.isoformat(), r.until.isoformat()] for s, r in sorted(revoked.items())})
        metadata = {"name": self._name, "namespace": self._namespace, "labels": names.MANAGED_BY | BACKUP}
        if self.kept.version:
            metadata["resourceVersion"] = self.kept.version
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": coded}
