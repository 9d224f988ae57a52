"""The record of the certificates issued to a cluster, in an annotation of its ManagedClusterAddOn.

A certificate is recorded before the cluster receives it, so that every certificate can be revoked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cryptography import x509

from panal.api import names

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate. `request`: the uid of its CertificateSigningRequest. `revoked`: when it was revoked."""

    serial: int
    begins: datetime
    ends: datetime
    request: str = ""
    revoked: datetime | None = None


def certificate(pem: str, request: str) -> Issued:
    found = x509.load_pem_x509_certificate(pem.encode())
    return Issued(found.serial_number, found.not_valid_before_utc, found.not_valid_after_utc, request)


def issued(addon: Object) -> tuple[Issued, ...]:
    """The recorded certificates; none if the annotation is invalid."""
    text = _annotations(addon).get(names.ANNOTATION_CERTIFICATES) or "[]"
    try:
        return tuple(_read(entry) for entry in json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def latest(addon: Object) -> Issued | None:
    """The certificate that is not revoked and ends last, which may have expired; None if there is none."""
    return max((one for one in issued(addon) if not one.revoked), key=lambda one: one.ends, default=None)


def latest_end(addon: Object) -> datetime | None:
    """When that certificate ends or has ended."""
    found = latest(addon)
    return found.ends if found else None


def overdue_from(one: Issued) -> datetime:
    """From then on a newer certificate should be there: agents renew long before the last tenth of a certificate's lifetime."""
    return one.ends - (one.ends - one.begins) / 10


def text(certificates: Iterable[Issued], now: datetime) -> str:
    """The value of the annotation, without certificates that have expired."""
    return json.dumps([_written(c) for c in certificates if c.ends > now], separators=(",", ":"))


def valid(certificates: Iterable[Issued], now: datetime) -> list[Issued]:
    """The certificates that are neither expired nor revoked."""
    return [c for c in certificates if c.ends > now and not c.revoked]


def as_revoked(certificates: Iterable[Issued], now: datetime) -> tuple[Issued, ...]:
    return tuple(c if c.revoked else replace(c, revoked=now) for c in certificates)


def revoked(addon: Object) -> bool:
    """Whether the cluster is revoked."""
    return names.ANNOTATION_REVOKED in _annotations(addon)


def _annotations(addon: Object) -> Mapping[str, str]:
    return (addon.get("metadata") or {}).get("annotations") or {}


def _read(entry: Mapping[str, str]) -> Issued:
    since = entry.get("revoked")
    return Issued(
        serial=_serial(entry["serial"]),
        begins=_time(entry["notBefore"]),
        ends=_time(entry["notAfter"]),
        request=str(entry.get("request", "")),
        revoked=_time(since) if since else None,
    )


def _serial(text: str) -> int:
    """Raises ValueError for a number that no certificate and no revocation list can have."""
    found = int(text, 16)
    if not 0 < found < 2**159:
        raise ValueError(f"{text[:40]} is not a serial number")
    return found


def _time(text: str) -> datetime:
    """Raises ValueError for a time without a zone, which cannot be compared with others."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return found


def _written(one: Issued) -> dict[str, str]:
    found = {"serial": f"{one.serial:x}", "notBefore": one.begins.isoformat(), "notAfter": one.ends.isoformat(), "request": one.request}
    return found | ({"revoked": one.revoked.isoformat()} if one.revoked else {})
