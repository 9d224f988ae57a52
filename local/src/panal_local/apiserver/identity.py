"""Authentication by bearer tokens: the administrator's, those of a file, and those of service accounts.

Tokens of service accounts are JWTs signed with a key of this server (HS256). They are valid until they expire, or until the service account
or the Pod that they are bound to is deleted.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from panal.kube.times import to_time
from panal_local.apiserver import errors
from panal_local.apiserver.errors import INVALID, Cause
from panal_local.apiserver.store import Entry, Store

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()


ADMIN = User("admin", "admin", ("system:masters", "system:authenticated"))
SHORTEST, USUAL, LONGEST = 600, 3600, 1 << 32
UNAUTHORIZED = errors.StatusError(401, "Unauthorized", "Unauthorized")


class BadTokenFile(ValueError):  # noqa: N818
    """The file of static tokens cannot be read."""


def static_tokens(path: Path) -> dict[str, User]:
    """Reads a CSV file of `token,user,uid,"group1,group2"`, where the groups are optional. Raises BadTokenFile."""
    found = {}
    for number, row in enumerate(csv.reader(path.read_text().splitlines()), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3 or not row[0] or not row[1]:
            raise BadTokenFile(f'{path}, line {number}: write token,user,uid and optionally "group1,group2"')
        groups = tuple(g.strip() for g in row[3].split(",") if g.strip()) if len(row) > 3 else ()
        found[row[0]] = User(row[1], row[2], (*groups, "system:authenticated"))
    return found


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class Identity:
    """Maps tokens to users. `static` is called for each request, because the file may change."""

    store: Store
    admin: str
    key: bytes
    static: Callable[[], dict[str, User]]

    def user(self, authorization: str) -> User:
        """The user of an Authorization header. Raises StatusError, 401, for an unknown token."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise UNAUTHORIZED
        if hmac.compare_digest(token.encode(errors="surrogateescape"), self.admin.encode()):
            return ADMIN
        found = self.static().get(token) or self._account(token)
        if found is None:
            raise UNAUTHORIZED
        return found

    # --- tokens of service accounts -----------------------------------------------------------------------------
    def _sign(self, text: str) -> str:
        return _encoded(hmac.new(self.key, text.encode(), hashlib.sha256).digest())

    def _account(self, token: str) -> User | None:
        text, _, signature = token.rpartition(".")
        if not token.isascii() or not hmac.compare_digest(self._sign(text), signature):
            return None
        claims = msgspec.json.decode(_decoded(text.partition(".")[2]))
        namespace, account, pod = claims["namespace"], claims["account"], claims.get("pod")
        if claims["exp"] < time.time() or not self._exists("serviceaccounts", namespace, account):
            return None
        if pod and not self._exists("pods", namespace, pod):
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(claims["sub"], account["uid"], groups)

    def _exists(self, plural: str, namespace: str, about: Object) -> bool:
        entry = self.store.get(plural, (namespace, about["name"]))
        return entry is not None and entry.object["metadata"]["uid"] == about["uid"]

    def issue(self, account: Entry, request: Object) -> Object:
        """Returns the response to a TokenRequest for the service account. Raises StatusError."""
        spec, metadata = request.get("spec") or {}, account.object["metadata"]
        namespace, name, now = metadata["namespace"], metadata["name"], int(time.time())
        seconds = spec.get("expirationSeconds", USUAL)
        if not isinstance(seconds, int) or not SHORTEST <= seconds <= LONGEST:
            text = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            raise errors.invalid("authentication.k8s.io", "TokenRequest", "", [Cause(INVALID, text, "spec.expirationSeconds")])
        claims = {
            "exp": now + seconds,
            "iat": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "namespace": namespace,
            "account": {"name": name, "uid": metadata["uid"]},
            **self._bound(namespace, spec.get("boundObjectRef")),
        }
        text = ".".join(_encoded(msgspec.json.encode(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        ends = to_time(datetime.fromtimestamp(now + seconds, UTC))
        identity = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {"name": name, "namespace": namespace}}
        return identity | {"spec": spec, "status": {"token": f"{text}.{self._sign(text)}", "expirationTimestamp": ends}}

    def _bound(self, namespace: str, ref: Any) -> Object:
        """The claim of the Pod that the token is bound to."""
        if not isinstance(ref, dict) or ref.get("kind") != "Pod":
            return {}
        name = str(ref.get("name", ""))
        entry = self.store.get("pods", (namespace, name))
        if entry is None:
            raise errors.not_found("", "pods", name)
        uid = entry.object["metadata"]["uid"]
        if ref.get("uid") not in (None, "", uid):
            why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record ({uid})"
            raise errors.conflict("", "pods", name, why)
        return {"pod": {"name": name, "uid": uid}}
