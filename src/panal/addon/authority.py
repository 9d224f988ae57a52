"""Rotation, trust bundles and revocation lists of the two certificate authorities: the server and the collaborator authority.

An authority is rotated in phases, so that every peer trusts the new signer before it receives a certificate of that signer. First the
*next* signer is created and added to the trust bundle. Once the bundle has had time to reach every gateway, it becomes the *current*
signer, and the one before becomes *previous*. A previous signer stays in the bundle until all certificates that it signed have expired.
Then it is deleted, with its key. Until then the key signs its revocation list, which a gateway requires for every authority that it trusts.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVERS, COLLABORATORS = AUTHORITIES = "servers", "collaborators"
SKEW = timedelta(minutes=5)  # a certificate is valid from this long before its creation, since clocks differ
ROTATE_AT = 2 / 3  # of an authority's lifetime
PEM = serialization.Encoding.PEM
NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


class AuthorityError(ValueError):
    """The stored data of an authority is invalid. The message says why."""


@dataclass(frozen=True, slots=True)
class Times:
    """`life`: lifetime of an authority. `leaf`: lifetime of its certificates. `spread`: the time for a bundle to reach every gateway."""

    life: timedelta = timedelta(days=365)
    leaf: timedelta = timedelta(days=1)
    spread: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Signer:
    """The certificate and key of an authority, both PEM. `until`: of a previous signer, when its last certificate expires."""

    certificate: str
    key: str
    until: datetime | None = None

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())

    @property
    def created(self) -> datetime:
        return self.parsed.not_valid_before_utc + SKEW

    @property
    def ends(self) -> datetime:
        return self.parsed.not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it, without colons."""
        return fingerprint(self.certificate)

    @property
    def private(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self.key.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError("the key of an authority is not an elliptic curve key")
        return key


@dataclass(frozen=True, slots=True)
class Authority:
    """The signers of an authority, by role. `previous` starts with the newest. Without `current`, nothing can be signed."""

    current: Signer | None = None
    next: Signer | None = None
    previous: tuple[Signer, ...] = ()

    @property
    def trusted(self) -> tuple[Signer, ...]:
        return tuple(s for s in (self.next, self.current, *self.previous) if s)

    @property
    def newest(self) -> datetime | None:
        """When the newest signer was created."""
        return max((s.created for s in self.trusted), default=None)


def decide(
    state: Authority, now: datetime, name: str, times: Times, requested: datetime | None = None, since: datetime | None = None
) -> Authority:
    """The authority as it should be at `now`; `state` itself if it does not change.

    `name`: part of the subject of a new signer. `requested`: when a rotation was requested. `since`: when this controller began to
    distribute bundles; the time that a next signer waits starts then at the earliest.
    """
    state = _without_expired(state, now)
    current = state.current
    if current is None:
        return replace(state, current=state.next or create(name, now, times.life), next=None)
    if state.next is None and _due(current, now, requested):
        state = replace(state, next=create(name, now, times.life))
    if state.next is None:
        return state
    distributed = max(state.next.created, since or state.next.created) + times.spread
    return _promoted(state, current, now, times) if now >= distributed or current.ends <= now else state


def _without_expired(state: Authority, now: datetime) -> Authority:
    kept = tuple(s for s in state.previous if s.until is not None and s.until > now and s.ends > now)
    following = state.next if state.next and state.next.ends > now else None
    current = state.current if state.current and (state.current.ends > now or following) else None
    found = Authority(current, following, kept)
    return state if found == state else found


def _due(current: Signer, now: datetime, requested: datetime | None) -> bool:
    return now >= _scheduled(current) or (requested is not None and current.created < requested <= now)


def _scheduled(current: Signer) -> datetime:
    return current.created + (current.ends - current.created) * ROTATE_AT


def _promoted(state: Authority, current: Signer, now: datetime, times: Times) -> Authority:
    old = replace(current, until=min(now + times.leaf + SKEW, current.ends))
    previous = (old, *state.previous) if old.ends > now else state.previous
    return Authority(current=state.next, previous=previous)


def next_change(state: Authority, times: Times, since: datetime) -> datetime | None:
    """When the result of `decide` may change by the passing of time."""
    moments = [s.until for s in state.previous if s.until]
    if state.next:
        moments.append(max(state.next.created, since) + times.spread)
    elif state.current:
        moments.append(_scheduled(state.current))
    return min(moments, default=None)


def create(name: str, now: datetime, life: timedelta) -> Signer:
    """A new signer. Its subject is unique, because gateways find a revocation list by the subject of its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "panal"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"panal {name} {secrets.token_hex(4)}"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**NO_USAGE | {"key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Signer(certificate.public_bytes(PEM).decode(), text.decode())


def bundle(state: Authority) -> str:
    """The trust bundle, PEM."""
    return "".join(s.certificate for s in state.trusted)


def crl(state: Authority, revoked: Mapping[int, datetime]) -> str:
    """The revocation lists of all trusted signers, concatenated PEM. `revoked`: the time of revocation by serial number.

    The lists are deterministic. Each is valid as long as its signer, because a gateway refuses all connections when a list has expired.
    """
    return "".join(_list(s, revoked) for s in state.trusted)


def _list(signer: Signer, revoked: Mapping[int, datetime]) -> str:
    """Each list contains all serial numbers. They are random, so no other signer has issued the same number."""
    updated = max([signer.parsed.not_valid_before_utc, *revoked.values()]).replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.parsed.subject)
        .last_update(updated)
        .next_update(max(signer.ends, updated + timedelta(seconds=1)))
        .add_extension(x509.CRLNumber(int(updated.timestamp()) * 100_000 + len(revoked)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.private.public_key()), critical=False)
    )
    for serial, since in sorted(revoked.items()):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since.astimezone(UTC)).build()
        )
    return builder.sign(signer.private, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(PEM).decode()


# --- stored and public forms ------------------------------------------------------------------------------------------
def to_data(state: Authority) -> dict[str, str]:
    """The data of the authority's Secret, not encoded."""
    found: dict[str, str] = {}
    for name, signer in _named(state):
        found |= {f"{name}.crt": signer.certificate, f"{name}.key": signer.key}
        if signer.until:
            found[f"{name}.until"] = signer.until.isoformat()
    return found


def from_data(data: Mapping[str, str]) -> Authority:
    """The inverse of `to_data`. Raises AuthorityError for invalid data."""
    names = [name.removesuffix(".crt") for name in data if name.endswith(".crt")]
    try:
        previous = sorted((n for n in names if n.startswith("previous-")), key=lambda n: int(n.rpartition("-")[2]))
        found = {name: _signer(data, name) for name in names}
    except (ValueError, KeyError, TypeError) as error:
        raise AuthorityError(str(error)) from error
    return Authority(found.get("current"), found.get("next"), tuple(found[name] for name in previous))


def _named(state: Authority) -> Iterable[tuple[str, Signer]]:
    named = [("next", state.next), ("current", state.current), *((f"previous-{i}", s) for i, s in enumerate(state.previous, 1))]
    return [(name, signer) for name, signer in named if signer]


def _signer(data: Mapping[str, str], name: str) -> Signer:
    until = data.get(f"{name}.until")
    signer = Signer(data[f"{name}.crt"], data[f"{name}.key"], datetime.fromisoformat(until) if until else None)
    if signer.private.public_key() != signer.parsed.public_key():
        raise AuthorityError(f"{name}.key is not the key of {name}.crt")
    return signer


def public(state: Authority) -> list[dict[str, str]]:
    """The public data of the signers: role, fingerprint and validity."""
    return [
        {
            "role": name.partition("-")[0],
            "fingerprint": signer.fingerprint,
            "notBefore": signer.parsed.not_valid_before_utc.isoformat(),
            "notAfter": signer.ends.isoformat(),
        }
        for name, signer in _named(state)
    ]


def published(data: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    """What `public` said of the authority `name`, from the data of the ConfigMap in which it is published; empty if it has another form."""
    try:
        return [dict(one) for one in json.loads(data.get(name) or "[]")]
    except (ValueError, TypeError, RecursionError):
        return []


def fingerprint(pem: str) -> str:
    return hashlib.sha256(x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)).hexdigest()
