"""The authorities of a hub and the certificates of its clusters, read and changed as an administrator does."""

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


def certified(engine: Engine, cluster: str, other_than: Pair | None = None, seconds: float = 60) -> Pair:
    """Waits for a certificate other than `other_than`."""

    def found() -> Pair | None:
        pair = held(engine, cluster)
        return pair if pair and (other_than is None or pair.x509.serial_number != other_than.x509.serial_number) else None

    return eventually(found, f"{cluster} has a{'nother' if other_than else ''} certificate", seconds)


def public(engine: Engine) -> dict[str, str]:
    """The public data of the authorities."""
    return (engine.hub.get(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES) or {}).get("data") or {}


def current(engine: Engine, authority: str) -> str:
    """The fingerprint of the current signer."""
    return next(one["fingerprint"] for one in json.loads(public(engine)[authority]) if one["role"] == "current")


def of(bundle: str, wanted: str) -> x509.Certificate:
    """The authority of that fingerprint in a bundle."""
    found = [c for c in x509.load_pem_x509_certificates(bundle.encode()) if fingerprint(pem(c)) == wanted]
    assert len(found) == 1, f"{wanted} is not in the bundle"
    return found[0]


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def replace_authorities(engine: Engine) -> None:
    """Rotates both, as `panal certs rotate` does. Returns when the new signers are current."""
    old = {authority: current(engine, authority) for authority in ("servers", "collaborators")}
    request = {names.ANNOTATION_ROTATE: f"{','.join(old)}@{to_time(now_utc())}"}
    engine.hub.patch(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES, metadata={"annotations": request})
    for authority, before in old.items():
        eventually(lambda a=authority, b=before: current(engine, a) != b, f"{authority}: the new signer is current", SOON + engine.spread)


def renew(engine: Engine, cluster: str) -> None:
    """Deletes the cluster's certificate. Returns when there is a new one."""
    old = certified(engine, cluster)
    engine.spoke(cluster).delete(kinds.SECRET, names.COLLABORATOR_NAMESPACE, names.IDENTITY_SECRET)
    new = certified(engine, cluster, old)
    assert new.x509.public_key() != old.x509.public_key()


def reach_the_sites(engine: Engine) -> None:
    """Waits until what is written now has reached the Pods. No API reports it."""
    time.sleep(engine.spread)


def signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, InvalidSignature):
        return False
    return True


def revoke(engine: Engine, cluster: str) -> None:
    """As `panal certs revoke` does."""
    _annotate(engine, cluster, to_time(now_utc()))


def restore(engine: Engine, cluster: str) -> None:
    """As `panal certs restore` does."""
    _annotate(engine, cluster, None)


def _annotate(engine: Engine, cluster: str, revoked: str | None) -> None:
    engine.hub.patch(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON, metadata={"annotations": {names.ANNOTATION_REVOKED: revoked}})
