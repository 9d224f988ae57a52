"""Keys, requests and certificates of an add-on's registrations. Pure, except for random keys."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from panal.kube.objects import Object, conditions_of
from panal_local.ocm.clusters import NAME_LABEL
from panal_local.ocm.conditions import Condition, new_condition

ADDON_LABEL = "open-cluster-management.io/addon-name"
INSTALL_NAMESPACE = "open-cluster-management-agent-addon"  # the default
CREDENTIALS = "kubernetes.io/kube-apiserver-client"
USAGES = ["digital signature", "key encipherment", "client auth"]
RENEWED_AT = 0.2  # remaining share of the validity period
ROTATED = "ClusterCertificateRotated"


@dataclass(frozen=True, slots=True)
class Registration:
    addon: str
    cluster: str
    signer: str
    user: str
    groups: tuple[str, ...]
    units: tuple[str, ...]
    namespace: str

    @property
    def secret(self) -> str:
        return f"{self.addon}-{self.signer.replace('/', '-')}-client-cert"


def registrations(addon: Object) -> list[Registration]:
    """The registrations of a ManagedClusterAddOn, without those for the hub's API, which nothing signs on the local platform."""
    status, metadata = addon.get("status") or {}, addon["metadata"]
    namespace = status.get("namespace") or (addon.get("spec") or {}).get("installNamespace") or INSTALL_NAMESPACE
    found = []
    for one in status.get("registrations") or ():
        subject = one.get("subject") or {}
        names = subject.get("user") or "", tuple(subject.get("groups") or ()), tuple(subject.get("organizationUnit") or ())
        found.append(Registration(metadata["name"], metadata["namespace"], one["signerName"], *names, namespace))
    return [r for r in found if r.signer != CREDENTIALS]


def new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def request(registration: Registration, key: bytes) -> Object:
    """The CertificateSigningRequest. The API server generates the name. `key` is PEM."""
    private = serialization.load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    names = x509.SubjectAlternativeName([x509.DNSName(f"{registration.addon}.addon.open-cluster-management.io")])
    made = x509.CertificateSigningRequestBuilder().subject_name(_subject(registration)).add_extension(names, critical=False)
    pem = made.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    labels = {NAME_LABEL: registration.cluster, ADDON_LABEL: registration.addon}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": f"addon-{registration.cluster}-{registration.addon}-", "labels": labels},
        "spec": {"request": base64.b64encode(pem).decode(), "signerName": registration.signer, "usages": USAGES},
    }


def _subject(registration: Registration) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in registration.groups]
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in registration.units]
    return x509.Name([*groups, *units, x509.NameAttribute(NameOID.COMMON_NAME, registration.user)])


def secret(registration: Registration, key: bytes, certificate: bytes) -> Object:
    data = {"tls.key": key, "tls.crt": certificate, "cluster-name": registration.cluster.encode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": registration.secret, "namespace": registration.namespace, "labels": {ADDON_LABEL: registration.addon}},
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


def renewal(secret: Object | None, registration: Registration) -> datetime | None:
    """The time of renewal; None if there is no certificate, or its subject or key does not match."""
    data: Mapping[str, str] = (secret or {}).get("data") or {}
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
        key = serialization.load_pem_private_key(base64.b64decode(data["tls.key"]), None)
    except (KeyError, ValueError, TypeError):
        return None
    if _attributes(certificate.subject) != _attributes(_subject(registration)) or key.public_key() != certificate.public_key():
        return None
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - life * RENEWED_AT


def kept(secret: Object) -> bytes:
    """The certificate in the Secret, in PEM."""
    return base64.b64decode(secret["data"]["tls.crt"])


def _attributes(name: x509.Name) -> set[tuple[str, Any]]:
    return {(attribute.oid.dotted_string, attribute.value) for attribute in name}


def issued(csr: Object) -> bytes | None:
    text = (csr.get("status") or {}).get("certificate")
    return base64.b64decode(text) if text else None


def denial(csr: Object) -> str:
    """The reason why the request is denied or failed; empty for others."""
    bad = next((c for c in conditions_of(csr) if c["type"] in ("Denied", "Failed")), None)
    return (
        f"{csr['metadata']['name']} is {bad['type'].lower()}: {bad.get('message') or bad.get('reason') or 'no reason given'}" if bad else ""
    )


def rotated(certificate: bytes) -> Condition:
    parsed = x509.load_pem_x509_certificate(certificate)
    life = f"starting from {parsed.not_valid_before_utc} to be expired after {parsed.not_valid_after_utc - parsed.not_valid_before_utc}"
    return new_condition(ROTATED, True, "ClientCertificateUpdated", f"client certificate rotated {life}")


def not_rotated(why: str) -> Condition:
    return new_condition(ROTATED, False, "ClientCertificateUpdateFailed", f"Failed to rotated client certificate {why}")
