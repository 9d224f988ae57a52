"""The authorities of a hub and the certificates of its clusters, as their administrators see and change them."""

from __future__ import annotations

import base64
import json
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certificates import Pair
from engine import Engine
from panal.addon.authority import fingerprint
from panal.api import names
from panal.kube import kinds
from panal.kube.times import now_utc, to_time
from waiting import eventually

SOON = 60.0


def held(engine: Engine, cluster: str) -> Pair | None:
    """A cluster's certificate and key, as they are on the cluster."""
    secret = engine.spoke(cluster).get(kinds.SECRET, names.COLLABORATOR_NAMESPACE, names.IDENTITY_SECRET)
    data = (secret or {}).get("data") or {}
    if not data.get("tls.crt"):
        return None
    key = serialization.load_pem_private_key(base64.b64decode(data["tls.key"]), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Pair(x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"])), key)


def certified(engine: Engine, cluster: str, besides: Pair | None = None, seconds: float = 60) -> Pair:
    """As soon as there is one, another than `besides`."""

    def found() -> Pair | None:
        pair = held(engine, cluster)
        return pair if pair and (besides is None or pair.x509.serial_number != besides.x509.serial_number) else None

    return eventually(found, f"{cluster} has a{'nother' if besides else ''} certificate", seconds)


def public(engine: Engine) -> dict[str, str]:
    """What anyone may know of the authorities."""
    return (engine.hub.get(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES) or {}).get("data") or {}


def current(engine: Engine, whose: str) -> str:
    """The fingerprint of the one that signs."""
    return next(one["fingerprint"] for one in json.loads(public(engine)[whose]) if one["role"] == "current")


def of(bundle: str, wanted: str) -> x509.Certificate:
    """The authority of that fingerprint in a bundle."""
    found = [c for c in x509.load_pem_x509_certificates(bundle.encode()) if fingerprint(pem(c)) == wanted]
    assert len(found) == 1, f"{wanted} is not in the bundle"
    return found[0]


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def replace_authorities(engine: Engine) -> None:
    """Both, as `panal certs rotate` does; returns when the new ones sign."""
    old = {whose: current(engine, whose) for whose in ("servers", "collaborators")}
    wish = {names.ANNOTATION_ROTATE: f"{','.join(old)}@{to_time(now_utc())}"}
    engine.hub.patch(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES, metadata={"annotations": wish})
    for whose, before in old.items():
        eventually(lambda w=whose, b=before: current(engine, w) != b, f"the new one of {whose} signs", SOON + engine.spread)


def renew(engine: Engine, cluster: str) -> None:
    """The cluster's certificate is deleted; returns when there is a new one."""
    old = certified(engine, cluster)
    engine.spoke(cluster).delete(kinds.SECRET, names.COLLABORATOR_NAMESPACE, names.IDENTITY_SECRET)
    new = certified(engine, cluster, old)
    assert new.x509.public_key() != old.x509.public_key()


def reach_the_sites(engine: Engine) -> None:
    """What is written now is in the Pods when this returns. No API tells."""
    time.sleep(engine.spread)


def signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, InvalidSignature):
        return False
    return True


def revoke(engine: Engine, cluster: str) -> None:
    """As `panal certs revoke` does."""
    _shut_out(engine, cluster, to_time(now_utc()))


def restore(engine: Engine, cluster: str) -> None:
    """As `panal certs restore` does."""
    _shut_out(engine, cluster, None)


def _shut_out(engine: Engine, cluster: str, since: str | None) -> None:
    engine.hub.patch(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON, metadata={"annotations": {names.ANNOTATION_REVOKED: since}})
